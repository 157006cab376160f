internal import ArgumentParser
internal import Foundation
internal import HTTPService

struct ProxyConfigCommand: ParsableCommand {
    enum Section: String, ExpressibleByArgument, CaseIterable {
        case clusters, listeners, routes, endpoints

        /// The admin page it is read from.
        var path: String { self == .endpoints ? "/clusters" : "/\(rawValue)" }
    }

    static let configuration = CommandConfiguration(
        commandName: "proxy-config",
        abstract: "Show the clusters, listeners, routes or endpoints of a running Skein.",
        discussion: """
            EXAMPLES
              skein proxy-config clusters                      limits, failures, how many endpoints are healthy
              skein proxy-config endpoints --name reviews      health and last error of each endpoint
              skein proxy-config routes --server 127.0.1.1:15000
              skein proxy-config listeners -o json
            """, aliases: ["pc"])

    @Argument(help: "clusters, listeners, routes or endpoints.")
    var section: Section

    @Option(help: "Only what has this in its name (of routes: in a host or a name).")
    var name: String?

    @Option(name: .shortAndLong, help: "Output format: text or json (Envoy's where it has one).")
    var output = OutputFormat.text

    @OptionGroup var server: ServerOptions

    func run() throws {
        let client = try server.client(defaultPort: 15000)
        let response = try calling(client) { try $0.send("GET", "\(section.path)?format=json") }
        guard response.status == 200 else {
            complain("skein: \(String(decoding: response.body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))")
            throw ExitStatus.unavailable
        }
        if output == .json {
            print(String(decoding: response.body, as: UTF8.self), terminator: "")
            return
        }
        let data = Data(response.body)
        let decoder = JSONDecoder()
        let lines: [String]
        switch section {
        case .listeners: lines = listeners(try decoder.decode(AdminDocuments.Listeners.self, from: data))
        case .routes: lines = routes(try decoder.decode(AdminDocuments.Routes.self, from: data))
        case .clusters: lines = clusters(try decoder.decode(AdminDocuments.Clusters.self, from: data))
        case .endpoints: lines = endpoints(try decoder.decode(AdminDocuments.Clusters.self, from: data))
        }
        for line in lines { print(line) }
    }

    private func isWanted(_ names: String...) -> Bool { name.map { part in names.contains { $0.contains(part) } } ?? true }

    private func listeners(_ document: AdminDocuments.Listeners) -> [String] {
        var table = TextTable(["NAME", "ADDRESS", "SIDE"])
        for one in document.listener_statuses where isWanted(one.name) { table.add([one.name, one.local_address.text, one.side]) }
        return table.lines(style: .standardOutput)
    }

    private func routes(_ document: AdminDocuments.Routes) -> [String] {
        var table = TextTable(["LISTENER", "HOSTS", "NAME", "MATCH", "DESTINATION", "TIMEOUT", "RULE"])
        for one in document.routes where isWanted([one.name] + one.hosts) {
            let hosts = one.hosts.prefix(2).joined(separator: ", ") + (one.hosts.count > 2 ? " and \(one.hosts.count - 2) more" : "")
            table.add([
                one.listener, hosts.isEmpty ? "*" : hosts, one.name,
                one.matches.isEmpty ? "every request" : one.matches.joined(separator: " | "),
                one.targets.joined(separator: ", "), one.timeout_ms == 0 ? "-" : "\(one.timeout_ms) ms",
                one.resource.isEmpty ? "-" : "\(one.resource) \(one.position)",
            ])
        }
        return table.lines(style: .standardOutput)
    }

    private func isWanted(_ names: [String]) -> Bool { name.map { part in names.contains { $0.contains(part) } } ?? true }

    private func clusters(_ document: AdminDocuments.Clusters) -> [String] {
        var table = TextTable(["CLUSTER", "BALANCER", "HEALTHY", "CONNECT FAILURES", "LIMITS"])
        var sick: Set<Int> = []
        for (index, one) in document.cluster_statuses.filter({ isWanted($0.name) }).enumerated() {
            let healthy = one.host_statuses.count { $0.health_status.isHealthy }
            if healthy < one.host_statuses.count || !one.resolved { sick.insert(index) }
            let limits = one.circuit_breakers.thresholds.first?.texts ?? []
            table.add([
                one.name, one.lb_policy, one.resolved ? "\(healthy)/\(one.host_statuses.count)" : "name not resolved", one.cx_connect_fail,
                limits.isEmpty ? "-" : limits.joined(separator: ", "),
            ])
        }
        return table.lines(style: .standardOutput) { row, column in column == 2 && sick.contains(row) ? TerminalStyle.red : nil }
    }

    private func endpoints(_ document: AdminDocuments.Clusters) -> [String] {
        var table = TextTable(["CLUSTER", "ENDPOINT", "STATE", "ACTIVE", "CONNECT FAILURES", "OTHER FAILURES", "LAST ERROR"])
        var sick: [Bool] = []
        for cluster in document.cluster_statuses where isWanted(cluster.name) {
            for one in cluster.host_statuses {
                sick.append(!one.health_status.isHealthy)
                table.add([
                    cluster.name, one.address.text, one.healthText, one.stat("rq_active"), one.stat("cx_connect_fail"),
                    one.stat("rq_error"),
                    one.last_error.map { "\($0) (\(Self.ago(one.last_error_unix_seconds ?? 0)))" } ?? "-",
                ])
            }
        }
        return table.lines(style: .standardOutput) { row, column in column == 2 && sick[row] ? TerminalStyle.red : nil }
    }

    /// `12 s ago`.
    private static func ago(_ unixSeconds: UInt64) -> String {
        let now = UInt64(max(0, Date().timeIntervalSince1970))
        let seconds = now > unixSeconds ? now - unixSeconds : 0
        return seconds < 120 ? "\(seconds) s ago" : seconds < 7200 ? "\(seconds / 60) min ago" : "\(seconds / 3600) h ago"
    }
}

/// What the admin pages answer as JSON; fields are named as there.
enum AdminDocuments {
    struct Address: Decodable {
        struct Socket: Decodable {
            var address: String
            var port_value: UInt16
        }
        struct Pipe: Decodable { var path: String }
        var socket_address: Socket?
        var pipe: Pipe?

        var text: String {
            if let socket_address {
                let host = socket_address.address
                return "\(host.contains(":") ? "[\(host)]" : host):\(socket_address.port_value)"
            }
            return pipe?.path ?? "-"
        }
    }

    struct Listeners: Decodable {
        struct One: Decodable {
            var name: String
            var local_address: Address
            var side: String
        }
        var listener_statuses: [One]
    }

    struct Routes: Decodable {
        struct One: Decodable {
            var listener, name, resource, position: String
            var hosts, matches, targets: [String]
            var timeout_ms: UInt64
        }
        var routes: [One]
    }

    struct Clusters: Decodable {
        struct Health: Decodable {
            var failed_outlier_check: Bool?
            var failed_active_health_check: Bool?

            var isHealthy: Bool { failed_outlier_check != true && failed_active_health_check != true }
            var text: String {
                failed_outlier_check == true ? "ejected" : failed_active_health_check == true ? "fails health checks" : "healthy"
            }
        }
        struct Statistic: Decodable { var name, value: String }
        struct Endpoint: Decodable {
            var address: Address
            var stats: [Statistic]
            var health_status: Health
            /// Of ejections by local detection, and by the collector.
            var ejected_for_ms, mesh_ejected_for_ms: UInt64?
            var last_error: String?
            var last_error_unix_seconds: UInt64?

            /// Which of the two has it out, or both.
            var healthText: String {
                guard health_status.failed_outlier_check == true, mesh_ejected_for_ms != nil else { return health_status.text }
                return ejected_for_ms == nil ? "ejected mesh-wide" : "ejected, mesh-wide too"
            }

            func stat(_ name: String) -> String { stats.first { $0.name == name }?.value ?? "-" }
        }
        struct RetryBudget: Decodable {
            struct Percent: Decodable { var value: Double }
            var budget_percent: Percent
            var min_retry_concurrency: UInt32
        }
        struct Threshold: Decodable {
            var max_connections, max_pending_requests, max_requests, max_retries: UInt32
            var retry_budget: RetryBudget?

            /// The limits that there are, by name.
            var texts: [String] {
                let limits = [
                    ("max_connections", max_connections), ("max_pending_requests", max_pending_requests), ("max_requests", max_requests),
                    ("max_retries", retry_budget == nil ? max_retries : .max),
                ].filter { $0.1 != .max }.map { "\($0.0) \($0.1)" }
                let budget = retry_budget.map { "retry_budget \($0.budget_percent.value) % (min \($0.min_retry_concurrency))" }
                return limits + [budget].compactMap(\.self)
            }
        }
        struct Breakers: Decodable { var thresholds: [Threshold] }
        struct One: Decodable {
            var name, lb_policy, cx_connect_fail: String
            var resolved: Bool
            var circuit_breakers: Breakers
            var host_statuses: [Endpoint]
        }
        var cluster_statuses: [One]
    }

    struct Server: Decodable {
        struct Node: Decodable { var id: String }
        struct Configuration: Decodable {
            var generation, reloads, reload_failures: UInt64
            var last_error, not_enforced: [String]
        }
        var version, state, uptime_current_epoch: String
        var node: Node
        var configuration: Configuration
    }
}
