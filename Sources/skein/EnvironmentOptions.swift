/// What people who ran Zipkin's server or an OpenTelemetry SDK have set already, as far as it means something here.
///
/// Zipkin's names are those of zipkin-server's README; OpenTelemetry's those of its "Environment Variable Specification", whose rules hold:
/// an empty value is as good as none, a boolean is true when it is `true` in any case, what cannot be read is told and ignored.
/// What would matter and is not in effect is told at the start, never passed over.
struct EnvironmentOptions {
    /// QUERY_PORT; nil also for Kubernetes' own `QUERY_PORT=tcp://...` of a service named `query`.
    private(set) var zipkinPort: UInt16?
    /// AUTOCOMPLETE_KEYS, separated by commas.
    private(set) var autocompleteKeys: [String] = []
    /// QUERY_LOOKBACK.
    private(set) var queryLookbackMilliseconds: UInt64?
    /// STRICT_TRACE_ID: true or false, in any case.
    private(set) var strictTraceID: Bool?
    /// OTEL_SERVICE_NAME, else `service.name` of OTEL_RESOURCE_ATTRIBUTES.
    private(set) var serviceName: String?
    /// 0...100 from OTEL_TRACES_SAMPLER and its argument. A decision that a request brings counts before it, as with every `parentbased_`
    /// sampler.
    private(set) var samplingPercentage: Double?
    private(set) var isSDKDisabled = false
    private(set) var notices: [String] = []

    /// Where an SDK would send to and in what form. We have no OTLP exporter, and context travels as the configuration says.
    static let notYetInEffect = [
        "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT", "OTEL_PROPAGATORS",
    ]
    /// What Zipkin keeps, and where. Ours is one file with bounds of its own.
    static let storage = ["STORAGE_TYPE", "MEM_MAX_SPANS", "COLLECTOR_SAMPLE_RATE"]

    init(_ environment: (String) -> String?) {
        func value(_ name: String) -> String? { environment(name).flatMap { $0.isEmpty ? nil : $0 } }
        zipkinPort = Environment.port("QUERY_PORT", in: environment)
        autocompleteKeys = value("AUTOCOMPLETE_KEYS").map(Self.list) ?? []
        if let text = value("QUERY_LOOKBACK") {
            queryLookbackMilliseconds = UInt64(text).flatMap { $0 > 0 ? $0 : nil }
            if queryLookbackMilliseconds == nil { notices.append("QUERY_LOOKBACK=\(text) is ignored: write milliseconds") }
        }
        if let text = value("STRICT_TRACE_ID") {
            strictTraceID = ["true": true, "false": false][text.lowercased()]
            if strictTraceID == nil { notices.append("STRICT_TRACE_ID=\(text) is ignored: write true or false") }
        }
        serviceName = value("OTEL_SERVICE_NAME")
        if let text = value("OTEL_RESOURCE_ATTRIBUTES") {
            if let attributes = Self.attributes(text) {
                serviceName = serviceName ?? attributes.last { $0.key == "service.name" && !$0.value.isEmpty }?.value
            } else {
                notices.append("OTEL_RESOURCE_ATTRIBUTES is ignored: write key=value,key=value with other characters percent-encoded")
            }
        }
        isSDKDisabled = value("OTEL_SDK_DISABLED")?.lowercased() == "true"
        readSampler(value("OTEL_TRACES_SAMPLER"), value("OTEL_TRACES_SAMPLER_ARG"))
        note(
            Self.notYetInEffect, value,
            "accepted, not yet in effect: spans go to the store here and to the tracing provider of the configuration")
        note(Self.storage, value, "not in effect: every span received is kept, until --retention-days or --retention-megabytes")
    }

    private mutating func readSampler(_ sampler: String?, _ argument: String?) {
        switch sampler {
        case nil: return
        case "always_on", "parentbased_always_on": samplingPercentage = 100
        case "always_off", "parentbased_always_off": samplingPercentage = 0
        case "traceidratio", "parentbased_traceidratio":
            let ratio = argument.flatMap { Double($0) }.flatMap { (0...1).contains($0) ? $0 : nil }
            if let argument, ratio == nil {
                notices.append("OTEL_TRACES_SAMPLER_ARG=\(argument) is ignored, which means 1.0: write a number from 0 to 1")
            }
            samplingPercentage = (ratio ?? 1) * 100
        case let name?:
            notices.append(
                "OTEL_TRACES_SAMPLER=\(name) is ignored: always_on, always_off, traceidratio and the same with parentbased_ are in effect")
        }
    }

    private mutating func note(_ names: [String], _ value: (String) -> String?, _ text: String) {
        let set = names.filter { value($0) != nil }
        guard !set.isEmpty else { return }
        notices.append("\(set.joined(separator: ", ")): \(text)")
    }

    private static func list(_ text: String) -> [String] {
        text.split(separator: ",").map { String(trimmed($0)) }.filter { !$0.isEmpty }
    }

    /// `key=value,key=value`, both percent-encoded where needed; nil when any part is not (OpenTelemetry: then all of it is discarded).
    static func attributes(_ text: String) -> [(key: String, value: String)]? {
        var found: [(key: String, value: String)] = []
        for part in text.split(separator: ",") where !trimmed(part).isEmpty {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2, let key = decoded(trimmed(sides[0])), let value = decoded(trimmed(sides[1])), !key.isEmpty else {
                return nil
            }
            found.append((key, value))
        }
        return found
    }

    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else { return nil }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? { Character(UnicodeScalar(byte)).hexDigitValue.map { UInt8($0) } }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}
