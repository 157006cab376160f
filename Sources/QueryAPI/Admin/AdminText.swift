/// The admin pages as text and as JSON.
enum AdminText {
    // MARK: Listeners

    static func text(_ listeners: [ListenerStatus]) -> String { listeners.map { "\($0.name)::\($0.address)\n" }.joined() }

    static func json(_ listeners: [ListenerStatus]) -> [UInt8] {
        document("listener_statuses", listeners) { listener, body in
            body.append(text: "{\"name\":")
            body.append(jsonString: listener.name)
            body.append(text: ",\"local_address\":")
            append(address: listener.address, listener.host, listener.port, to: &body)
            body.append(text: ",\"side\":")
            body.append(jsonString: listener.side)
            body.append(text: "}")
        }
    }

    /// Envoy's `Address`.
    private static func append(address: String, _ host: String?, _ port: UInt16, to body: inout [UInt8]) {
        if let host {
            body.append(text: "{\"socket_address\":{\"address\":")
            body.append(jsonString: host)
            body.append(text: ",\"port_value\":\(port)}}")
        } else {
            body.append(text: "{\"pipe\":{\"path\":")
            body.append(jsonString: address)
            body.append(text: "}}")
        }
    }

    // MARK: Clusters

    /// One fact a line, `cluster::endpoint::name::value`, as Envoy prints them.
    static func text(_ clusters: [ClusterStatus]) -> String {
        var lines = ""
        for cluster in clusters {
            func add(_ name: String, _ value: some CustomStringConvertible) { lines += "\(cluster.name)::\(name)::\(value)\n" }
            add("observability_name", cluster.name)
            for limit in cluster.limits {
                add("default_priority::\(limit.name)", limit.limit)
                add("default_priority::\(limit.name)::held", limit.held)
                add("default_priority::\(limit.name)::overflow", limit.refused)
            }
            if let budget = cluster.retryBudget {
                add("default_priority::retry_budget::percent", budget.percent)
                add("default_priority::retry_budget::min_retry_concurrency", budget.minimum)
                add("default_priority::retry_budget::limit", budget.limit)
            }
            add("lb_policy", cluster.balancer)
            add("resolved", cluster.isResolved)
            add("cx_connect_fail", cluster.connectFailures)
            for endpoint in cluster.endpoints {
                for (name, value) in facts(endpoint) { add("\(endpoint.address)::\(name)", value) }
            }
        }
        return lines
    }

    private static func facts(_ endpoint: ClusterStatus.Endpoint) -> [(name: String, value: String)] {
        var facts = [
            (
                "cx_connect_fail",
                "\(endpoint.connectFailures)"), ("rq_active", "\(endpoint.requestsActive)"), ("rq_error", "\(endpoint.otherFailures)"),
            ("health_flags", endpoint.healthFlags), ("weight", "\(endpoint.weight)"), ("priority", "\(endpoint.priority)"),
            ("latency_us", "\(endpoint.latencyMicroseconds)"),
        ]
        if endpoint.isEjected { facts.append(("ejected_for_ms", "\(endpoint.ejectedMilliseconds)")) }
        if endpoint.isMeshEjected { facts.append(("mesh_ejected_for_ms", "\(endpoint.meshEjectedMilliseconds)")) }
        if !endpoint.lastError.isEmpty {
            facts += [("last_error", endpoint.lastError), ("last_error_unix_seconds", "\(endpoint.lastErrorUnixSeconds)")]
        }
        return facts
    }

    /// Envoy's `Clusters` (envoy.admin.v3), with what it lacks added.
    static func json(_ clusters: [ClusterStatus]) -> [UInt8] {
        document("cluster_statuses", clusters) { cluster, body in
            body.append(text: "{\"name\":")
            body.append(jsonString: cluster.name)
            body.append(text: ",\"lb_policy\":")
            body.append(jsonString: cluster.balancer)
            body.append(text: ",\"resolved\":\(cluster.isResolved),\"cx_connect_fail\":\"\(cluster.connectFailures)\"")
            body.append(text: ",\"circuit_breakers\":{\"thresholds\":[{")
            for (index, limit) in cluster.limits.enumerated() {
                body.append(text: "\(index == 0 ? "" : ",")\"\(limit.name)\":\(limit.limit),\"\(limit.name)_held\":\(limit.held)")
                body.append(text: ",\"\(limit.name)_overflow\":\(limit.refused)")
            }
            if let budget = cluster.retryBudget {
                body.append(text: ",\"retry_budget\":{\"budget_percent\":{\"value\":\(budget.percent)}")
                body.append(text: ",\"min_retry_concurrency\":\(budget.minimum),\"interval_ms\":\(budget.intervalMilliseconds)")
                body.append(text: ",\"limit\":\(budget.limit)}")
            }
            body.append(text: "}]},\"host_statuses\":[")
            for (index, endpoint) in cluster.endpoints.enumerated() {
                if index > 0 { body.append(UInt8(ascii: ",")) }
                append(endpoint, to: &body)
            }
            body.append(text: "]}")
        }
    }

    private static func append(_ endpoint: ClusterStatus.Endpoint, to body: inout [UInt8]) {
        body.append(text: "{\"address\":")
        append(address: endpoint.address, endpoint.host, endpoint.port, to: &body)
        body.append(text: ",\"stats\":[")
        let counters = [("cx_connect_fail", endpoint.connectFailures), ("rq_error", endpoint.otherFailures)]
        for (name, value) in counters { body.append(text: "{\"name\":\"\(name)\",\"value\":\"\(value)\"},") }
        body.append(text: "{\"name\":\"rq_active\",\"value\":\"\(endpoint.requestsActive)\",\"type\":\"GAUGE\"}],\"health_status\":{")
        if endpoint.isEjected || endpoint.isMeshEjected { body.append(text: "\"failed_outlier_check\":true,") }
        if endpoint.failsHealthChecks { body.append(text: "\"failed_active_health_check\":true,") }
        body.append(text: "\"eds_health_status\":\"HEALTHY\"},\"weight\":\(endpoint.weight),\"priority\":\(endpoint.priority)")
        body.append(text: ",\"latency_us\":\(endpoint.latencyMicroseconds)")
        if endpoint.isEjected { body.append(text: ",\"ejected_for_ms\":\(endpoint.ejectedMilliseconds)") }
        if endpoint.isMeshEjected { body.append(text: ",\"mesh_ejected_for_ms\":\(endpoint.meshEjectedMilliseconds)") }
        if !endpoint.lastError.isEmpty {
            body.append(text: ",\"last_error\":")
            body.append(jsonString: endpoint.lastError)
            body.append(text: ",\"last_error_unix_seconds\":\(endpoint.lastErrorUnixSeconds)")
        }
        body.append(text: "}")
    }

    // MARK: Routes

    static func text(_ routes: [RouteStatus]) -> String {
        var text = ""
        var last: [String] = []
        for route in routes {
            let place = [route.listener] + route.hosts
            if place != last { text += "\(route.listener)  \(route.hosts.isEmpty ? "*" : route.hosts.joined(separator: ", "))\n" }
            last = place
            text += "  \(route.name)  \(route.matches.isEmpty ? "every request" : route.matches.joined(separator: " | "))"
            text += "  ->  \(route.targets.joined(separator: ", "))"
            if route.timeoutMilliseconds > 0 { text += "  timeout \(route.timeoutMilliseconds) ms" }
            if route.retryAttempts > 0 { text += " retries \(route.retryAttempts) on \(route.retryOn)" }
            if !route.resource.isEmpty { text += "  (\(route.resource) \(route.position))" }
            text += "\n"
        }
        return text
    }

    static func json(_ routes: [RouteStatus]) -> [UInt8] {
        document("routes", routes) { route, body in
            body.append(text: "{\"listener\":")
            body.append(jsonString: route.listener)
            for (name, list) in [("hosts", route.hosts), ("matches", route.matches), ("targets", route.targets)] {
                body.append(text: ",\"\(name)\":")
                body.append(jsonStrings: list)
            }
            for (name, value) in [("name", route.name), ("resource", route.resource), ("position", route.position)] {
                body.append(text: ",\"\(name)\":")
                body.append(jsonString: value)
            }
            body.append(text: ",\"timeout_ms\":\(route.timeoutMilliseconds),\"retries\":{\"attempts\":\(route.retryAttempts),\"on\":")
            body.append(jsonString: route.retryOn)
            body.append(text: ",\"per_try_timeout_ms\":\(route.perTryTimeoutMilliseconds)}}")
        }
    }

    // MARK: Server

    static func json(_ server: ServerStatus) -> [UInt8] {
        var body: [UInt8] = []
        body.append(text: "{\"version\":")
        body.append(jsonString: server.version)
        body.append(text: ",\"state\":\"\(server.state.rawValue)\",\"uptime_current_epoch\":\"\(server.uptimeSeconds)s\",\"node\":{\"id\":")
        body.append(jsonString: server.node)
        body.append(
            text: "},\"configuration\":{\"generation\":\(server.configuration.generation),\"reloads\":\(server.configuration.reloads),")
        body.append(text: "\"reload_failures\":\(server.configuration.failures),\"last_error\":")
        body.append(jsonStrings: server.configuration.lastError)
        body.append(text: ",\"not_enforced\":")
        body.append(jsonStrings: server.configuration.unenforced)
        body.append(text: "},\"command_line_options\":{")
        for (index, option) in server.options.enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            body.append(jsonString: option.name)
            body.append(UInt8(ascii: ":"))
            body.append(jsonString: option.value)
        }
        body.append(text: "}}\n")
        return body
    }

    static func health(_ server: ServerStatus) -> [UInt8] {
        var body: [UInt8] = []
        let isWell = server.configuration.lastError.isEmpty && server.configuration.unenforced.isEmpty
        body.append(
            text: "{\"status\":\"\(server.state == .live ? isWell ? "UP" : "DEGRADED" : "DOWN")\",\"state\":\"\(server.state.rawValue)\"")
        body.append(text: ",\"lastReloadError\":")
        body.append(jsonStrings: server.configuration.lastError)
        body.append(text: ",\"notEnforced\":")
        body.append(jsonStrings: server.configuration.unenforced)
        body.append(text: "}\n")
        return body
    }

    // MARK: Statistics

    /// Names and values of an exposition in Prometheus' text; `filter` is part of the name.
    static func statistics(_ exposition: [UInt8], filter: String) -> [(name: Substring, value: Substring)] {
        let text = String(decoding: exposition, as: UTF8.self)
        return text.split(separator: "\n").compactMap { line in
            guard !line.hasPrefix("#"), let space = line.lastIndex(of: " "),
                filter.isEmpty || line[..<space].contains(filter)
            else { return nil }
            return (line[..<space], line[line.index(after: space)...])
        }
    }

    static func text(statistics: [(name: Substring, value: Substring)]) -> String {
        statistics.map { "\($0.name): \($0.value)\n" }.joined()
    }

    static func json(statistics: [(name: Substring, value: Substring)]) -> [UInt8] {
        document("stats", statistics) { one, body in
            body.append(text: "{\"name\":")
            body.append(jsonString: String(one.name))
            // Not every value is a JSON number: NaN, +Inf.
            body.append(text: ",\"value\":")
            let value = String(one.value)
            if Double(one.value)?.isFinite == true { body.append(text: value) } else { body.append(jsonString: value) }
            body.append(text: "}")
        }
    }

    /// `{"name":[…]}` with one element a line.
    private static func document<Item>(_ name: String, _ items: [Item], _ append: (Item, inout [UInt8]) -> Void) -> [UInt8] {
        var body: [UInt8] = []
        body.append(text: "{\"\(name)\":[")
        for (index, item) in items.enumerated() {
            body.append(text: index == 0 ? "\n " : ",\n ")
            append(item, &body)
        }
        body.append(text: "]}\n")
        return body
    }
}
