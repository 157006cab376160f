import TelemetryModel

/// Attributes of OTLP on their way to labels.
struct OTLPLabels {
    private(set) var values: [String: String] = [:]
    /// The first attribute of which no label can be made.
    private(set) var unnamed: String?

    var isEmpty: Bool { values.isEmpty }

    init() {}

    /// Two attributes whose names become one are joined by `;` in the order of their keys (OpenTelemetry specification, "Metric
    /// Attributes").
    init(_ attributes: OTLPAttributes, _ namer: PrometheusNamer) {
        for (name, value) in attributes.list { add(attribute: name, value, namer) }
    }

    mutating func add(attribute name: String, _ value: String, _ namer: PrometheusNamer) {
        guard let label = namer.label(name) else {
            if unnamed == nil { unnamed = name }
            return
        }
        if let present = values[label] { values[label] = present + ";" + value } else { values[label] = value }
    }

    mutating func set(_ label: String, _ value: String) { values[label] = value }

    /// Labels of another, where there is none of their names.
    mutating func fill(from other: OTLPLabels) { values.merge(other.values) { mine, _ in mine } }

    /// Labels of another, in place of those that have their names.
    mutating func replace(by other: OTLPLabels) { values.merge(other.values) { _, theirs in theirs } }

    func labels(_ metric: String, adding more: [(name: String, value: String)] = []) -> LabelSet {
        var all = values
        for one in more { all[one.name] = one.value }
        all[LabelSet.metricName] = metric
        return LabelSet(all.map { LabelSet.Label($0.key, $0.value) })
    }
}

/// The attributes of one message, in the order of their keys.
struct OTLPAttributes {
    private(set) var list: [(name: String, value: String)] = []
    /// There were more than `OTLPMetricsDecoder.attributesMax`; those are missing here.
    private(set) var isCut = false

    mutating func append(_ name: String, _ value: String) {
        if list.count < OTLPMetricsDecoder.attributesMax { list.append((name, value)) } else { isCut = true }
    }

    var sorted: OTLPAttributes {
        var copy = self
        copy.list.sort { $0.name < $1.name }
        return copy
    }
}

/// What OTLP says of a resource, in Prometheus' terms: `job` and `instance` name the target, the rest is in `target_info`, and what is
/// promoted is on every series.
struct OTLPResource {
    private(set) var identity = OTLPLabels()
    private(set) var promoted = OTLPLabels()
    private var info = OTLPLabels()
    private var saysMore = false
    /// Why no series of the resource can be made.
    private(set) var problem: String?

    init() {}

    init(_ attributes: OTLPAttributes, _ translation: OTLPTranslation, _ namer: PrometheusNamer) {
        var service = ""
        var namespace = ""
        for (name, value) in attributes.list {
            let isIdentifying = Self.identifying.contains(name)
            switch name {
            case "service.name": service = value
            case "service.namespace": namespace = value
            case "service.instance.id": identity.set("instance", value)
            default: saysMore = true
            }
            if !isIdentifying || translation.keepsIdentifyingAttributes { info.add(attribute: name, value, namer) }
            if translation.promotion.includes(name) { promoted.add(attribute: name, value, namer) }
        }
        if !service.isEmpty { identity.set("job", namespace.isEmpty ? service : namespace + "/" + service) }
        if attributes.isCut { problem = "its resource has more than \(OTLPMetricsDecoder.attributesMax) attributes" }
        if let name = promoted.unnamed { problem = "no label can be named after the resource's attribute \"\(name)\"" }
    }

    private static let identifying: Set<String> = ["service.name", "service.namespace", "service.instance.id"]

    /// The series that joins a target's other attributes to its metrics; nil when there is nothing to join, or nothing to join it to.
    func targetInfo(at time: Int64) -> MetricPoint? {
        guard !identity.isEmpty, saysMore else { return nil }
        let labels = info.labels("target_info", adding: identity.values.map { ($0.key, $0.value) })
        return MetricPoint(labels: labels, kind: .gauge, time: time, value: .number(1))
    }

    /// The attribute that `target_info` has to do without.
    var unnamedInfo: String? { info.unnamed }
}
