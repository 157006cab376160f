/// A row by code and flags.
enum TopDetails {
    static func lines(_ row: TopRow) -> [String] {
        var lines = ["", SafeText.clean(row.name), ""]
        for (name, value) in row.labels.sorted(by: { $0.key < $1.key }) {
            lines.append("  \(SafeText.clean(name)): \(SafeText.clean(value))")
        }
        if let reporter = row.reporter { lines.append("  reported by the \(reporter == "source" ? "clients'" : "service's") proxies") }
        let quantiles = [("p50", row.p50), ("p95", row.p95), ("p99", row.p99)].map { "\($0) \(TopColumns.milliseconds($1))" }
        let figures = ["success \(TopColumns.successText(row))", "\(TopColumns.rate(row.requests)) requests/s"] + quantiles
        lines += ["", "  " + figures.joined(separator: "   "), "", "       RPS   SHARE  OUTCOME     HOW"]
        for share in row.shares {
            let how = share.labels.filter { $0.key != "outcome" }.sorted { $0.key < $1.key }
                .map { "\(SafeText.clean($0.key))=\(SafeText.clean($0.value))" }.joined(separator: " ")
            let part = row.requests > 0 ? TopColumns.percent(share.perSecond / row.requests) : "-"
            let numbers = [TopColumns.rate(share.perSecond), part].map { SafeText.fitted($0, 8, rightAligned: true) }.joined()
            lines.append("  \(numbers)  \(SafeText.fitted("\(share.outcome)", 10))  \(how)")
        }
        return lines
    }
}

/// The page of `?`, which also the command's help quotes.
enum TopHelp {
    static let rule = [
        "success   the share of answers that are no error of the server",
        "          HTTP: not 5xx; gRPC: status none of UNKNOWN, DEADLINE_EXCEEDED,",
        "          UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS",
        "          requests whose client left before an answer are in rps only",
        "          - where there was no answer",
    ]

    static let lines = [
        "", "↑ ↓ k j PgUp PgDn Home End   move", "Enter   the row by code and flags, or a metric by label and sender",
        "/   filter by a part of the name", "s   sort by the next column (first: by what is wrong)",
        "b Tab   rows are services, routes, edges, endpoints, metrics", "p   pause", "q Ctrl-C   quit", "",
    ] + rule + [
        "rps       requests a second, of a service or an edge as its clients' proxies",
        "          count them, or its own proxies where clients have none",
        "endpoint  of requests whose last attempt it got, with the time of earlier ones",
        "retries   attempts a second after the first ones",
        "ejected   endpoints that are ejected or fail their health checks",
    ]
}
