internal import Foundation

/// Who has come to which workload without TLS, from the answers of a store: whether PeerAuthentication STRICT would shut somebody out.
struct MTLSReport: Encodable {
    struct Caller: Encodable {
        var source: String
        var port: String
        var `protocol`: String
        var connections: Double
        /// Seconds since 1970.
        var last: Double
    }

    struct Workload: Encodable {
        var name: String
        var namespace: String
        /// Requests, and connections of TCP, that came with mutual TLS.
        var secured: Double
        /// Those who came without, the latest first.
        var callers: [Caller]
        var isStrictSafe: Bool
    }

    /// By namespace and name.
    let workloads: [Workload]

    /// `since`: seconds since 1970; what is older does not count, also where a series tells it.
    init(last: [PrometheusAnswer.Series], counts: [PrometheusAnswer.Series], secured: [PrometheusAnswer.Series], since: Double) {
        struct Name: Hashable {
            var namespace: String
            var name: String

            init(_ metric: [String: String]) {
                namespace = metric["destination_workload_namespace"] ?? "unknown"
                name = metric["destination_workload"] ?? "unknown"
            }
        }
        // A server elsewhere may say anything.
        func value(_ series: PrometheusAnswer.Series) -> Double {
            let number = series.value.flatMap { Double($0.value) } ?? 0
            return (0...1e12).contains(number) ? number : 0
        }
        var totals: [[String: String]: Double] = [:]
        for series in counts { totals[series.metric] = value(series) }
        var callers: [Name: [Caller]] = [:]
        var amounts: [Name: Double] = [:]
        for series in secured { amounts[Name(series.metric), default: 0] += value(series) }
        for series in last where value(series) >= since {
            let caller = Caller(
                source: series.metric["source"] ?? "unknown", port: series.metric["destination_port"] ?? "",
                protocol: series.metric["protocol"] ?? "", connections: totals[series.metric] ?? 1, last: value(series))
            callers[Name(series.metric), default: []].append(caller)
        }
        workloads = Set(callers.keys).union(amounts.keys).sorted { ($0.namespace, $0.name) < ($1.namespace, $1.name) }.map { name in
            let found = (callers[name] ?? []).sorted { ($1.last, $0.source, $0.port) < ($0.last, $1.source, $1.port) }
            return Workload(
                name: name.name, namespace: name.namespace, secured: amounts[name] ?? 0, callers: found, isStrictSafe: found.isEmpty)
        }
    }

    private static func whole(_ number: Double) -> String { Int(exactly: number.rounded()).map(String.init) ?? "0" }

    func json(range: String) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(["workloads": workloads]), as: UTF8.self)
    }

    func lines(range: String, style: TerminalStyle) -> [String] {
        guard !workloads.isEmpty else {
            return ["nothing has come to a workload in the last \(range): there is nothing to judge by"]
        }
        var lines: [String] = []
        for workload in workloads {
            let title = "\(workload.name).\(workload.namespace)"
            let amount = "\(Self.whole(workload.secured)) requests and connections with mutual TLS"
            if workload.isStrictSafe {
                lines.append("\(title): STRICT is safe: \(amount) and none without in the last \(range)")
                continue
            }
            lines.append("\(title): STRICT would shut out \(workload.callers.count) of its callers (\(amount))")
            var table = TextTable(["  SOURCE", "PORT", "PROTOCOL", "CONNECTIONS", "LAST"])
            for caller in workload.callers {
                let last = Date(timeIntervalSince1970: caller.last).formatted(.iso8601)
                table.add(["  " + caller.source, caller.port, caller.protocol, Self.whole(caller.connections), last])
            }
            lines += table.lines(style: style)
        }
        return lines
    }
}
