/// Istio's rules across the fields of a DestinationRule.
extension Findings {
    mutating func check(destinationRule spec: NodeReader) {
        require(spec, "host", "the service the rule is for")
        host(spec, "host", wildcard: true)
        if let policy = spec.child("trafficPolicy") { check(trafficPolicy: policy) }
        var names: [String: SourcePosition] = [:]
        for subset in spec.children("subsets") {
            require(subset, "name", "routes refer to the subset by it")
            if let name = subset.string("name"), !name.isEmpty {
                if let first = names.updateValue(subset.position("name"), forKey: name) {
                    error(subset.position("name"), "\(subset.path).name", "subset \"\(name)\" is defined twice; first at line \(first.line)")
                }
            }
            if let policy = subset.child("trafficPolicy") { check(trafficPolicy: policy) }
        }
    }

    private mutating func check(trafficPolicy policy: NodeReader) {
        checkGroups(policy)
        var ports: Set<Int64> = []
        for entry in policy.children("portLevelSettings") {
            checkGroups(entry)
            guard let number = entry.child("port")?.integer("number") else {
                error(entry.position, entry.path, "port is required: {number: PORT}")
                continue
            }
            if !ports.insert(number).inserted { error(entry.position, entry.path, "port \(number) has settings twice") }
        }
        if let tunnel = policy.child("tunnel") {
            require(tunnel, "targetHost", "where the tunnel ends")
            range(tunnel, "targetPort", 1...65535)
            if let host = tunnel.string("targetHost"), IPAddress.family(host) == nil, let problem = HostName.problem(host, wildcard: false) {
                error(tunnel.position("targetHost"), "\(tunnel.path).targetHost", "host \"\(host)\" \(problem)")
            }
            if !tunnel.has("targetPort") { error(tunnel.position, "\(tunnel.path).targetPort", "targetPort is required: 1 to 65535") }
            if let name = tunnel.string("protocol"), !name.isEmpty, name != "CONNECT", name != "POST" {
                error(tunnel.position("protocol"), "\(tunnel.path).protocol", "\"\(name)\" is not accepted; CONNECT or POST")
            }
        }
    }

    private mutating func checkGroups(_ policy: NodeReader) {
        if let pool = policy.child("connectionPool") { check(connectionPool: pool) }
        if let outlier = policy.child("outlierDetection") { check(outlierDetection: outlier) }
        if let balancer = policy.child("loadBalancer") { check(loadBalancer: balancer) }
        if let tls = policy.child("tls") { check(clientTLS: tls) }
    }

    mutating func check(connectionPool pool: NodeReader) {
        if let tcp = pool.child("tcp") {
            range(tcp, "maxConnections", 0...Int64(Int32.max))
            duration(tcp, "connectTimeout", zeroAllowed: false)
            duration(tcp, "maxConnectionDuration", zeroAllowed: true)
            duration(tcp, "idleTimeout", zeroAllowed: true)
        }
        if let http = pool.child("http") {
            for name in ["http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries", "maxConcurrentStreams"] {
                range(http, name, 0...Int64(Int32.max))
            }
            duration(http, "idleTimeout", zeroAllowed: true)
            if http.name("h2UpgradePolicy") == "UPGRADE", http.bool("useClientProtocol") == true {
                error(http.position("useClientProtocol"), "\(http.path).useClientProtocol", "cannot be combined with h2UpgradePolicy: UPGRADE")
            }
        }
    }

    private mutating func check(outlierDetection outlier: NodeReader) {
        duration(outlier, "interval", zeroAllowed: false)
        duration(outlier, "baseEjectionTime", zeroAllowed: false)
        range(outlier, "maxEjectionPercent", 0...100, " (percent)")
        range(outlier, "minHealthPercent", 0...100, " (percent)")
        range(outlier, "consecutiveErrors", 0...Int64(Int32.max))
        if outlier.has("consecutiveErrors"), outlier.has("consecutiveGatewayErrors") {
            warn(
                outlier.position("consecutiveErrors"), "\(outlier.path).consecutiveErrors",
                "consecutiveGatewayErrors is set too and wins; remove consecutiveErrors")
        }
        if outlier.has("consecutiveLocalOriginFailures"), outlier.bool("splitExternalLocalOriginErrors") != true {
            error(
                outlier.position("consecutiveLocalOriginFailures"), "\(outlier.path).consecutiveLocalOriginFailures",
                "needs splitExternalLocalOriginErrors: true")
        }
    }

    private mutating func check(loadBalancer balancer: NodeReader) {
        if let hash = balancer.child("consistentHash") {
            if !["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"].contains(where: hash.has) {
                error(hash.position, hash.path, "one of httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName is required")
            }
            if let cookie = hash.child("httpCookie") { check(cookie: cookie) }
        }
        if let warmup = balancer.child("warmup") {
            if !warmup.has("duration") { error(warmup.position, warmup.path, "duration is required") }
            percent(warmup, "minimumPercent")
            if let aggression = warmup.double("aggression"), aggression < 1 {
                error(warmup.position("aggression"), "\(warmup.path).aggression", "must be 1 or more")
            }
        }
        if let locality = balancer.child("localityLbSetting") {
            let given = ["distribute", "failover", "failoverPriority"].filter { !(locality.node($0)?.items?.isEmpty ?? true) }
            if given.contains("distribute"), given.count > 1 {
                error(locality.position, locality.path, "\(given.joined(separator: " and ")) exclude each other")
            }
            for entry in locality.children("distribute") {
                let total = entry.entries("to").reduce(Int64(0)) { $0 &+ ($1.reader.node.scalar.flatMap(NodeReader.integer) ?? 0) }
                if total != 100 { error(entry.position, entry.path, "the shares of \"to\" add up to \(total); they must add up to 100") }
            }
        }
    }

    /// What becomes part of a `set-cookie` line must not end it.
    private mutating func check(cookie: NodeReader) {
        require(cookie, "name", "the cookie to hash")
        func breaks(_ text: String) -> Bool { text.utf8.contains { $0 < 32 || $0 == 127 || $0 == UInt8(ascii: ";") } }
        for name in ["name", "path"] where cookie.string(name).map(breaks) == true {
            error(cookie.position(name), "\(cookie.path).\(name)", "must not contain \";\" or control characters")
        }
        for attribute in cookie.children("attributes") {
            require(attribute, "name", "for example SameSite")
            for name in ["name", "value"] where attribute.string(name).map(breaks) == true {
                error(attribute.position(name), "\(attribute.path).\(name)", "must not contain \";\" or control characters")
            }
        }
    }

    private mutating func check(clientTLS tls: NodeReader) {
        if tls.name("mode") == "MUTUAL", !tls.has("credentialName") {
            require(tls, "clientCertificate", "mode MUTUAL needs a client certificate, or credentialName")
            require(tls, "privateKey", "mode MUTUAL needs a private key, or credentialName")
        }
        if tls.name("mode") == "ISTIO_MUTUAL" {
            for name in ["clientCertificate", "privateKey", "caCertificates", "credentialName"] where tls.has(name) {
                error(tls.position(name), "\(tls.path).\(name)", "must not be set with mode ISTIO_MUTUAL; the mesh issues the certificates")
            }
        }
    }
}
