/// Names of OpenTelemetry's metrics and attributes as Prometheus' OTLP receiver writes them (OpenTelemetry specification, "Prometheus and
/// OpenMetrics Compatibility"; github.com/prometheus/otlptranslator for what that leaves open). Pure.
struct PrometheusNamer {
    let strategy: OTLPTranslation.Strategy

    /// `http.server.duration`, `ms` → `http_server_duration_milliseconds`; with `_total` for monotonic sums and `_ratio` for gauges of 1.
    /// Nil when no character of the name is left.
    func metric(_ name: String, unit: String, isCounter: Bool, isGauge: Bool) -> String? {
        let isRatio = isGauge && unit == "1"
        let made: String
        switch (strategy.escapes, strategy.addsSuffixes) {
        case (false, false): made = name
        case (false, true): made = Self.suffixed(name, MetricUnit(unit), isCounter: isCounter, isRatio: isRatio)
        case (true, false):
            made = Self.withoutDigitFirst(Self.words(name, separatesUnderscores: false).joined(separator: "_"))
        case (true, true): made = Self.escaped(name, MetricUnit(unit), isCounter: isCounter, isRatio: isRatio)
        }
        return Self.isName(made, of: name) ? made : nil
    }

    /// `http.method` → `http_method`. Nil when no character of the name is left.
    func label(_ name: String) -> String? {
        guard strategy.escapes else { return name.isEmpty ? nil : name }
        var made = String(String.UnicodeScalarView(name.unicodeScalars.map { scalar in
            UInt8(exactly: scalar.value).map(LabelNames.isNameByte) == true ? scalar : "_"
        }))
        if Self.startsWithDigit(made) {
            made = "key_" + made
        } else if made.hasPrefix("_"), !made.hasPrefix("__") {
            made = "key" + made
        }
        return Self.isName(made, of: name) ? made : nil
    }

    /// Underscores alone are a name only for what is called so.
    private static func isName(_ made: String, of name: String) -> Bool {
        !made.isEmpty && (made == name || !made.utf8.allSatisfy { $0 == UInt8(ascii: "_") })
    }

    // MARK: With underscores

    private static func escaped(_ name: String, _ unit: MetricUnit, isCounter: Bool, isRatio: Bool) -> String {
        var tokens = words(name, separatesUnderscores: true)
        let (main, per) = unit.escaped(tokens)
        tokens += [main, per].filter { !$0.isEmpty }
        if isCounter { moveToEnd("total", &tokens) }
        if isRatio { moveToEnd("ratio", &tokens) }
        return withoutDigitFirst(tokens.joined(separator: "_"))
    }

    private static func words(_ text: String, separatesUnderscores: Bool) -> [String] {
        text.utf8.split {
            $0 == UInt8(ascii: "_") ? separatesUnderscores : !LabelNames.isNameByte($0) && $0 != UInt8(ascii: ":")
        }.map { String(decoding: $0, as: UTF8.self) }
    }

    private static func moveToEnd(_ word: String, _ tokens: inout [String]) {
        tokens.removeAll { $0 == word }
        tokens.append(word)
    }

    private static func withoutDigitFirst(_ text: String) -> String { startsWithDigit(text) ? "_" + text : text }

    private static func startsWithDigit(_ text: String) -> Bool { text.utf8.first.map { $0 &- UInt8(ascii: "0") < 10 } ?? false }

    // MARK: With any characters

    /// What the name ends in already is not added again, but moved behind the rest.
    private static func suffixed(_ name: String, _ unit: MetricUnit, isCounter: Bool, isRatio: Bool) -> String {
        var name = name
        if isRatio { name = cut("ratio", from: name) }
        if isCounter { name = cut("total", from: name) }
        if !unit.per.isEmpty { name = cut(unit.per, from: name) }
        if !unit.main.isEmpty, !name.hasSuffix(unit.main) { name += "_" + unit.main }
        if !unit.per.isEmpty { name += "_" + unit.per }
        if isCounter { name += "_total" }
        if isRatio { name += "_ratio" }
        return name
    }

    /// Without the suffix and the character before it.
    private static func cut(_ suffix: String, from name: String) -> String {
        guard name.hasSuffix(suffix), name.unicodeScalars.count > suffix.unicodeScalars.count + 1 else { return name }
        return String(name.unicodeScalars.dropLast(suffix.unicodeScalars.count + 1))
    }
}

/// A unit as it stands behind a metric's name: of `m/s` `meters` and `per_second`. What is in braces is an annotation (UCUM) and says
/// nothing.
struct MetricUnit {
    private(set) var main = ""
    private(set) var per = ""

    init(_ unit: String) {
        let parts = unit.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(Self.trimmed)
        if let first = parts.first, !Self.isAnnotation(first) { main = Self.units[first] ?? first }
        if parts.count == 2, !parts[1].isEmpty, !Self.isAnnotation(parts[1]) {
            per = "per_" + (Self.perUnits[parts[1]] ?? parts[1])
        }
    }

    /// With underscores in place of what no name has; empty where a word of the name says it already.
    func escaped(_ words: [String]) -> (main: String, per: String) {
        var main = Self.escaped(main)
        var per = Self.escaped(per)
        if words.contains(main) { main = "" }
        if per == "per_" { per = "" }
        if per.hasSuffix("_") { per.removeLast() }
        if words.contains(per) { per = "" }
        if !per.isEmpty, main.hasSuffix("_") { main.removeLast() }
        return (main, per)
    }

    /// One underscore for any number of other characters, and none in front.
    private static func escaped(_ unit: String) -> String {
        var made: [UInt8] = []
        for byte in unit.utf8 {
            if LabelNames.isNameByte(byte) && byte != UInt8(ascii: "_") || byte == UInt8(ascii: ":") {
                made.append(byte)
            } else if made.last.map({ $0 != UInt8(ascii: "_") }) ?? false {
                made.append(UInt8(ascii: "_"))
            }
        }
        return String(decoding: made, as: UTF8.self)
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    private static func isAnnotation(_ unit: String) -> Bool { unit.contains("{") || unit.contains("}") }

    private static let units: [String: String] = [
        "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
        "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tibibytes", "KBy": "kilobytes",
        "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes", "m": "meters", "V": "volts", "A": "amperes", "J": "joules",
        "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz", "1": "", "%": "percent",
    ]
    private static let perUnits: [String: String] = [
        "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year",
    ]
}
