internal import ArgumentParser
internal import Foundation
internal import HTTPService

struct OutliersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "outliers",
        abstract: "Show which endpoints are ejected mesh-wide, and why others were.",
        discussion: """
            Asks a collector (its query port) that proxies report to with --collector. Shows what is ejected now, and each decision of
            the last hour with its arithmetic: what was measured, the threshold, how many attempts, who reported what.

            EXAMPLES
              skein outliers
              skein outliers --cluster reviews --at 14:03
              skein outliers -o json --server 10.0.0.7:9411
            """)

    @Option(help: "Only clusters whose name has this in it.")
    var cluster: String?

    @Option(help: "Only what was decided within five minutes before this time of day and one after it, e.g. 14:03.")
    var at: String?

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    @OptionGroup var server: ServerOptions

    func run() throws {
        let moment = try at.map(Self.lastMilliseconds)
        let client = try server.client(defaultPort: Environment.port("QUERY_PORT") ?? 9411)
        let query = cluster.map { "?cluster=\(TracesCommand.encode($0))" } ?? ""
        let response = try calling(client) { try $0.send("GET", "/v1/outliers\(query)") }
        guard response.status == 200, let picture = try? JSONDecoder().decode(OutlierPicture.self, from: Data(response.body)) else {
            complain("skein: no collector's answer: \(String(decoding: response.body.prefix(400), as: UTF8.self))")
            throw ExitStatus.unavailable
        }
        switch output {
        case .json: print(String(decoding: response.body, as: UTF8.self))
        case .text: for line in picture.lines(around: moment, style: .standardOutput) { print(line) }
        }
    }

    /// The last time that clocks here showed `text`, milliseconds since 1970.
    static func lastMilliseconds(_ text: String) throws -> UInt64 {
        let parts = text.split(separator: ":").map { Int($0) }
        guard parts.count == 2, let hour = parts[0], let minute = parts[1], (0..<24).contains(hour), (0..<60).contains(minute),
            let today = Calendar.current.date(bySettingHour: hour, minute: minute, second: 59, of: Date())
        else { throw ValidationError("--at \(text): write a time of day, such as 14:03") }
        // A minute ahead is this minute; more is yesterday's.
        let date = today.timeIntervalSinceNow > 60 ? today.addingTimeInterval(-86_400) : today
        return UInt64(max(0, date.timeIntervalSince1970 * 1000))
    }
}

/// The answer of `/v1/outliers`.
struct OutlierPicture: Decodable {
    struct Ejection: Decodable {
        var cluster, endpoint, reason: String
        var forMilliseconds: UInt64
        var ejections: Int
    }

    struct Decision: Decodable {
        struct Saying: Decodable {
            var reporter: String
            var agrees: Bool
            var successes, errors, gatewayErrors, localFailures: UInt64
            var ejected: String?
        }

        var atUnixMilliseconds: UInt64
        var cluster, endpoint, outcome: String
        var hosts, ejected: Int
        var untilUnixMilliseconds: UInt64?
        var reason, cause, text: String?
        var reports: [Saying]?
    }

    var reporters, clusters, endpoints: Int
    var ejections: [Ejection]
    var decisions: [Decision]

    /// `moment`: milliseconds since 1970; nil = the whole hour.
    func lines(around moment: UInt64?, style: TerminalStyle) -> [String] {
        let counts = [(reporters, "reporter"), (clusters, "cluster"), (endpoints, "endpoint")].map { "\($0) \($1)\($0 == 1 ? "" : "s")" }
        var lines = [counts.joined(separator: ", "), ""]
        if ejections.isEmpty {
            lines.append("nothing is ejected mesh-wide")
        } else {
            var table = TextTable(["EJECTED", "CLUSTER", "FOR", "REASON", "TIMES"])
            for one in ejections {
                table.add([one.endpoint, one.cluster, "\(one.forMilliseconds / 1000) s", one.reason, "\(one.ejections)"])
            }
            lines += table.lines(style: style) { _, column in column == 0 ? TerminalStyle.red : nil }
        }
        let shown = decisions.filter { decision in
            guard let moment else { return true }
            let at = decision.atUnixMilliseconds
            return at &+ 300_000 >= moment && at <= moment &+ 60_000
        }
        lines += ["", shown.isEmpty ? "nothing was decided" : "decisions, newest last:"]
        for one in shown { lines += Self.lines(of: one) }
        return lines
    }

    private static func lines(of one: Decision) -> [String] {
        let until = one.untilUnixMilliseconds.map { " until \(clock($0))" } ?? ""
        let why = [one.reason, one.cause].compactMap(\.self).joined(separator: ", ")
        let head = "\(clock(one.atUnixMilliseconds))  \(one.endpoint)  \(one.cluster)  \(one.outcome)\(until)  \(why)  "
            + "(\(one.ejected) of \(one.hosts) out)"
        let sayings = (one.reports ?? []).map { saying in
            let own = saying.ejected.map { ", ejected by it: \($0)" } ?? ""
            let view = saying.agrees ? "agrees  " : "does not"
            return "            \(view) \(saying.reporter): \(saying.successes) ok, \(saying.errors) 5xx, "
                + "\(saying.gatewayErrors) gateway, \(saying.localFailures) local\(own)"
        }
        return [head] + (one.text.map { ["          \($0)"] } ?? []) + sayings
    }

    private static func clock(_ unixMilliseconds: UInt64) -> String {
        let format = DateFormatter()
        format.dateFormat = "HH:mm:ss"
        return format.string(from: Date(timeIntervalSince1970: Double(unixMilliseconds) / 1000))
    }
}
