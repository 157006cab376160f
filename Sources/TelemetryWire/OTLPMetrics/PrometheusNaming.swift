/// Names of OpenTelemetry's metrics and attributes as Prometheus' OTLP receiver writes them by default: underscores in place of other
/// characters, with suffixes of unit and kind (OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility"; Prometheus'
/// `translation_strategy: UnderscoreEscapingWithSuffixes`). Pure.
enum PrometheusNaming {
    /// `http.server.duration`, `ms` → `http_server_duration_milliseconds`; with `_total` for monotonic sums and `_ratio` for gauges of 1.
    static func metric(_ name: String, unit: String, isCounter: Bool, isGauge: Bool) -> String {
        var tokens = words(name)
        for suffix in suffixes(unit) where !suffix.isEmpty && !tokens.contains(suffix) { tokens += words(suffix) }
        if isCounter { moveToEnd("total", &tokens) }
        if isGauge, unit == "1" { moveToEnd("ratio", &tokens) }
        let text = tokens.joined(separator: "_")
        return startsWithDigit(text) ? "_" + text : text
    }

    static func label(_ name: String) -> String {
        let text = String(decoding: name.utf8.map { LabelNames.isNameByte($0) ? $0 : UInt8(ascii: "_") }, as: UTF8.self)
        if startsWithDigit(text) { return "key_" + text }
        return text.hasPrefix("_") && !text.hasPrefix("__") ? "key" + text : text
    }

    private static func words(_ text: String) -> [String] {
        text.utf8.split { !LabelNames.isNameByte($0) && $0 != UInt8(ascii: ":") || $0 == UInt8(ascii: "_") }.map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    private static func moveToEnd(_ word: String, _ tokens: inout [String]) {
        tokens.removeAll { $0 == word }
        tokens.append(word)
    }

    private static func startsWithDigit(_ text: String) -> Bool { text.utf8.first.map { $0 &- UInt8(ascii: "0") < 10 } ?? false }

    /// Of `m/s`: `meters` and `per_second`. A unit in braces is an annotation (UCUM) and says nothing.
    private static func suffixes(_ unit: String) -> [String] {
        let parts = unit.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map { $0.filter { $0 != " " } }
        guard let first = parts.first else { return [] }
        var suffixes: [String] = []
        if !isAnnotation(first) { suffixes.append(units[first] ?? words(first).joined(separator: "_")) }
        if parts.count == 2, !parts[1].isEmpty, !isAnnotation(parts[1]) {
            suffixes.append("per_" + (perUnits[parts[1]] ?? words(parts[1]).joined(separator: "_")))
        }
        return suffixes
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
