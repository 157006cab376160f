/// The cells of a table of `skein top`, without the terminal: what the live screen and the text of one look share.
struct TopColumns {
    struct Column {
        var title: String
        var width: Int
        /// Where there is no room, those with the highest number go first; 0 = never.
        var dispensability: Int
        var isRight = true
        var cell: (TopRow) -> (text: String, color: String?)
    }

    /// Below this the rows' names say nothing any more.
    static let nameWidthMin = 16

    static func columns(_ dimension: TopDimension) -> [Column] {
        var columns = [
            Column(title: "SUCCESS", width: 8, dispensability: 0) { (successText($0), successColor($0)) },
            Column(title: "RPS", width: 8, dispensability: 0) { (rate($0.requests), nil) },
            Column(title: "P50", width: 8, dispensability: 3) { (milliseconds($0.p50), nil) },
            Column(title: "P95", width: 8, dispensability: 1) { (milliseconds($0.p95), nil) },
            Column(title: "P99", width: 8, dispensability: 2) { (milliseconds($0.p99), nil) },
        ]
        if dimension.retriesQuery(window: "1m") != nil {
            columns.append(Column(title: "RETRIES", width: 8, dispensability: 5) { row in
                (row.retries.map { $0 == 0 ? "0" : rate($0) } ?? "-", row.retries ?? 0 > 0 ? TerminalStyle.yellow : nil)
            })
        }
        if dimension.ejectedQuery != nil {
            columns.append(Column(title: "EJECTED", width: 7, dispensability: 4) { row in
                (row.ejected.map { "\($0)" } ?? "-", row.ejected ?? 0 > 0 ? TerminalStyle.red : nil)
            })
        }
        return columns
    }

    /// As many as there is room for beside the names.
    static func fitting(_ columns: [Column], width: Int) -> [Column] {
        var columns = columns
        func taken() -> Int { columns.reduce(0) { $0 + $1.width + 1 } }
        while taken() + nameWidthMin > width, let last = columns.map(\.dispensability).max(), last > 0 {
            columns.removeAll { $0.dispensability == last }
        }
        return columns
    }

    // MARK: Text

    /// A name for people: what every service of a Kubernetes mesh ends with says nothing.
    static func shown(_ name: String) -> String { SafeText.clean(name).replacing(".svc.cluster.local", with: "") }

    /// No answers: `-`, because nothing can be said.
    static func successText(_ row: TopRow) -> String { row.successRate.map { percent($0) } ?? "-" }

    /// Two digits behind the point; never 100 % where something failed, never 0 % where something did not.
    static func percent(_ share: Double) -> String {
        if share >= 1 { return "100 %" }
        let hundredths = min(9_999, max(share > 0 ? 1 : 0, Int((share * 10_000).rounded())))
        return "\(hundredths / 100).\(twoDigits(hundredths % 100)) %"
    }

    private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

    private static func successColor(_ row: TopRow) -> String? {
        guard let rate = row.successRate else { return TerminalStyle.dim }
        return rate >= 0.999 ? TerminalStyle.green : rate >= 0.95 ? TerminalStyle.yellow : TerminalStyle.red
    }

    /// `0.02`, `3.4`, `120`, `12.3k`.
    static func rate(_ value: Double) -> String {
        guard value.isFinite else { return "-" }
        if value == 0 { return "0" }
        if value < 0.01 { return "<0.01" }
        if value < 1 { return decimal(value, 2) }
        if value < 100 { return decimal(value, 1) }
        if value < 10_000 { return decimal(value, 0) }
        return value < 1e7 ? decimal(value / 1e3, 1) + "k" : decimal(value / 1e6, 1) + "M"
    }

    static func milliseconds(_ value: Double?) -> String {
        guard let value, value.isFinite else { return "-" }
        if value < 10 { return decimal(value, 1) + "ms" }
        if value < 1000 { return decimal(value, 0) + "ms" }
        return value < 60_000 ? decimal(value / 1000, 2) + "s" : decimal(value / 60_000, 1) + "min"
    }

    /// `1234` → `1.2k`.
    static func count(_ value: Double) -> String { value < 10_000 ? decimal(value, 0) : rate(value) }

    /// `value` is at least 0.
    private static func decimal(_ value: Double, _ digits: Int) -> String {
        let factor = digits == 2 ? 100.0 : digits == 1 ? 10 : 1
        let whole = Int(min(1e15, (value * factor).rounded()))
        guard digits > 0 else { return "\(whole)" }
        let rest = whole % Int(factor)
        return "\(whole / Int(factor))." + (digits == 2 ? twoDigits(rest) : "\(rest)")
    }
}
