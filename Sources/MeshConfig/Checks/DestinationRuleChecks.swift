/// Istio's rules across the fields of a DestinationRule.
struct DestinationRuleChecks {
    let findings: Findings

    func check(destinationRule spec: NodeReader) {
        findings.require(spec, "host", "the service the rule is for")
        findings.host(spec, "host", wildcard: true)
        NameChecks(findings: findings).check(selectorOf: spec, "workloadSelector", "matchLabels")
        NameChecks(findings: findings).check(exportToOf: spec, ownOnly: spec.has("workloadSelector"))
        if let policy = spec.child("trafficPolicy") { check(trafficPolicy: policy) }
        var names: [String: SourcePosition] = [:]
        for subset in spec.children("subsets") {
            findings.require(subset, "name", "routes refer to the subset by it")
            NameChecks(findings: findings).check(labelsOf: subset, "labels")
            if let name = subset.string("name"), !name.isEmpty {
                if let problem = ObjectName.labelProblem(name) {
                    findings.error(subset.position("name"), "\(subset.path).name", "subset name \"\(name.prefix(64))\" \(problem)")
                }
                if let first = names.updateValue(subset.position("name"), forKey: name) {
                    findings.error(
                        subset.position("name"), "\(subset.path).name", "subset \"\(name)\" is defined twice; first at line \(first.line)")
                }
            }
            if let policy = subset.child("trafficPolicy") { check(trafficPolicy: policy) }
        }
    }

    private func check(trafficPolicy policy: NodeReader) {
        checkGroups(policy)
        let groups = Schema.istio.messages["TrafficPolicy"]?.fields.map(\.name) ?? []
        if !groups.contains(where: policy.has) {
            findings.error(
                policy.position, policy.path, "an empty policy does nothing; one of \(groups.joined(separator: ", ")) is required")
        }
        if policy.has("tunnel"), policy.has("proxyProtocol") {
            findings.error(
                policy.position("proxyProtocol"), "\(policy.path).proxyProtocol", "tunnel and proxyProtocol exclude each other; keep one",
                code: .oneOf)
        }
        if let budget = policy.child("retryBudget") { check(retryBudget: budget) }
        var ports: Set<Int64> = []
        for entry in policy.children("portLevelSettings") {
            checkGroups(entry)
            let own = ["loadBalancer", "connectionPool", "outlierDetection", "tls"]
            if !own.contains(where: entry.has) {
                findings.error(entry.position, entry.path, "settings of a port need one of \(own.joined(separator: ", "))")
            }
            guard let number = entry.child("port")?.integer("number") else {
                findings.error(entry.position, entry.path, "port is required: {number: PORT}")
                continue
            }
            if !ports.insert(number).inserted {
                findings.warn(entry.position, entry.path, "port \(number) has settings twice; the first are used")
            }
        }
        if let tunnel = policy.child("tunnel") {
            findings.require(tunnel, "targetHost", "where the tunnel ends")
            findings.range(tunnel, "targetPort", 1...65535)
            if let host = tunnel.string("targetHost"), IPAddress.family(host) == nil, let problem = HostName.problem(host, wildcard: false)
            {
                findings.error(tunnel.position("targetHost"), "\(tunnel.path).targetHost", "host \"\(host)\" \(problem)")
            }
            if !tunnel.has("targetPort") {
                findings.error(tunnel.position, "\(tunnel.path).targetPort", "targetPort is required: 1 to 65535")
            }
            if let name = tunnel.string("protocol"), !name.isEmpty, name != "CONNECT", name != "POST" {
                findings.error(tunnel.position("protocol"), "\(tunnel.path).protocol", "\"\(name)\" is not accepted; CONNECT or POST")
            }
        }
    }

    private func checkGroups(_ policy: NodeReader) {
        if let pool = policy.child("connectionPool") { check(connectionPool: pool) }
        if let outlier = policy.child("outlierDetection") { check(outlierDetection: outlier) }
        if let balancer = policy.child("loadBalancer") {
            check(loadBalancer: balancer, hasOutlierDetection: policy.has("outlierDetection"))
        }
        if let tls = policy.child("tls") { TLSChecks(findings: findings).check(clientTLS: tls) }
    }

    private func check(retryBudget budget: NodeReader) {
        if let share = budget.child("percent") { findings.percent(share, "value") } else { findings.percent(budget, "percent") }
    }

    func check(connectionPool pool: NodeReader) {
        if !pool.has("tcp"), !pool.has("http") {
            findings.error(pool.position, pool.path, "an empty pool bounds nothing; tcp or http is required")
        }
        if let tcp = pool.child("tcp") {
            findings.range(tcp, "maxConnections", 0...Int64(Int32.max))
            findings.duration(tcp, "connectTimeout", zeroAllowed: false)
            findings.duration(tcp, "maxConnectionDuration", zeroAllowed: true)
            findings.duration(tcp, "idleTimeout", zeroAllowed: true)
            if let keepalive = tcp.child("tcpKeepalive") {
                for name in ["time", "interval"] { findings.duration(keepalive, name, zeroAllowed: false) }
            }
        }
        if let http = pool.child("http") {
            for name in ["http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries", "maxConcurrentStreams"] {
                findings.range(http, name, 0...Int64(Int32.max))
            }
            findings.duration(http, "idleTimeout", zeroAllowed: true)
            if let keepalive = http.child("http2KeepAlive") {
                for name in ["interval", "timeout"] { findings.duration(keepalive, name, zeroAllowed: false) }
            }
            if http.name("h2UpgradePolicy") == "UPGRADE", http.bool("useClientProtocol") == true {
                findings.error(
                    http.position("useClientProtocol"), "\(http.path).useClientProtocol",
                    "cannot be combined with h2UpgradePolicy: UPGRADE")
            }
        }
    }

    private func check(outlierDetection outlier: NodeReader) {
        findings.duration(outlier, "interval", zeroAllowed: false)
        findings.duration(outlier, "baseEjectionTime", zeroAllowed: false)
        findings.range(outlier, "maxEjectionPercent", 0...100, " (percent)")
        findings.range(outlier, "minHealthPercent", 0...100, " (percent)")
        findings.range(outlier, "consecutiveErrors", 0...Int64(Int32.max))
        if outlier.has("consecutiveErrors"), outlier.has("consecutiveGatewayErrors") {
            findings.warn(
                outlier.position("consecutiveErrors"), "\(outlier.path).consecutiveErrors",
                "consecutiveGatewayErrors is set too and wins; remove consecutiveErrors")
        }
        if outlier.integer("consecutiveLocalOriginFailures") ?? 0 > 0, outlier.bool("splitExternalLocalOriginErrors") != true {
            findings.error(
                outlier.position("consecutiveLocalOriginFailures"), "\(outlier.path).consecutiveLocalOriginFailures",
                "needs splitExternalLocalOriginErrors: true")
        }
    }

    private func check(loadBalancer balancer: NodeReader, hasOutlierDetection: Bool) {
        findings.duration(balancer, "warmupDurationSecs", zeroAllowed: false)
        if let hash = balancer.child("consistentHash") {
            if !["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"].contains(where: hash.has) {
                findings.error(
                    hash.position, hash.path, "one of httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName is required")
            }
            if let cookie = hash.child("httpCookie") { check(cookie: cookie) }
            if hash.integer("minimumRingSize") ?? 0 > 0, hash.has("ringHash") || hash.has("maglev") {
                findings.error(
                    hash.position("minimumRingSize"), "\(hash.path).minimumRingSize",
                    "cannot be combined with ringHash or maglev; keep ringHash: {minimumRingSize: N}")
            }
            if let maglev = hash.child("maglev") { check(maglev: maglev) }
        }
        if let warmup = balancer.child("warmup") {
            if !warmup.has("duration") { findings.error(warmup.position, warmup.path, "duration is required") }
            findings.percent(warmup, "minimumPercent")
            if let aggression = warmup.double("aggression"), aggression < 1 {
                findings.error(warmup.position("aggression"), "\(warmup.path).aggression", "must be 1 or more")
            }
        }
        if let locality = balancer.child("localityLbSetting") {
            LocalityChecks(findings: findings).check(locality: locality, hasOutlierDetection: hasOutlierDetection)
        }
    }

    /// Envoy's Maglev tables have a prime number of rows, fewer than 5,000,011.
    private func check(maglev: NodeReader) {
        let size = maglev.integer("tableSize") ?? 0
        if size > 0, size < 5_000_011, isPrime(size) { return }
        findings.error(
            maglev.position("tableSize"), "\(maglev.path).tableSize",
            "\(size) is not accepted; a prime number below 5000011, for example 65537", code: .outOfRange)
    }

    /// By trial: at most a thousand divisions below Envoy's bound.
    private func isPrime(_ number: Int64) -> Bool {
        if number < 4 { return number > 1 }
        if number % 2 == 0 { return false }
        var factor: Int64 = 3
        while factor * factor <= number {
            if number % factor == 0 { return false }
            factor += 2
        }
        return true
    }

    /// What becomes part of a `set-cookie` line must not end it.
    private func check(cookie: NodeReader) {
        findings.require(cookie, "name", "the cookie to hash")
        func breaks(_ text: String) -> Bool { text.utf8.contains { $0 < 32 || $0 == 127 || $0 == UInt8(ascii: ";") } }
        for name in ["name", "path"] where cookie.string(name).map(breaks) == true {
            findings.error(cookie.position(name), "\(cookie.path).\(name)", "must not contain \";\" or control characters")
        }
        for attribute in cookie.children("attributes") {
            findings.require(attribute, "name", "for example SameSite")
            for name in ["name", "value"] where attribute.string(name).map(breaks) == true {
                findings.error(attribute.position(name), "\(attribute.path).\(name)", "must not contain \";\" or control characters")
            }
        }
    }
}
