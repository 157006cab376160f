/// Which text format a scrape is answered in (Prometheus exposition formats; OpenMetrics 1.0; semantics 2.13).
public enum ExpositionFormat: Sendable, Equatable {
    /// Prometheus text 0.0.4; no exemplars, which would break its parsers.
    case text
    /// OpenMetrics 1.0.0, or 0.0.1 when only that was offered: the same text under another version.
    case openMetrics, openMetrics001

    public var contentType: StaticString {
        switch self {
        case .text: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        case .openMetrics001: "application/openmetrics-text; version=0.0.1; charset=utf-8"
        }
    }

    public var isOpenMetrics: Bool { self != .text }

    /// The format for an `Accept` header: the offer with the greatest weight that we can write, the first of equals. Without a header,
    /// or with nothing usable in it, text 0.0.4, which everybody reads. Once a scrape, so Strings are fine here.
    public static func negotiate(accept: String?) -> ExpositionFormat {
        guard let accept else { return .text }
        var best = ExpositionFormat.text
        var bestWeight = 0.0
        for offer in accept.split(separator: ",") {
            let parts = offer.split(separator: ";").map { part in part.filter { $0 != " " && $0 != "\t" }.lowercased() }
            guard let media = parts.first else { continue }
            var weight = 1.0
            var version = ""
            for part in parts.dropFirst() {
                if part.hasPrefix("q=") { weight = Double(part.dropFirst(2)) ?? 0 }
                if part.hasPrefix("version=") { version = part.dropFirst(8).filter { $0 != "\"" } }
            }
            let format: ExpositionFormat? =
                switch (media, version) {
                case ("application/openmetrics-text", "1.0.0"), ("application/openmetrics-text", ""): .openMetrics
                case ("application/openmetrics-text", "0.0.1"): .openMetrics001
                case ("text/plain", "0.0.4"), ("text/plain", "1.0.0"), ("text/plain", ""), ("text/*", _), ("*/*", _): .text
                default: nil
                }
            if let format, weight > bestWeight {
                best = format
                bestWeight = weight
            }
        }
        return best
    }
}
