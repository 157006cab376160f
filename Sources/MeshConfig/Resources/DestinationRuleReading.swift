extension DestinationRule {
    init(id: ResourceID, position: SourcePosition, spec: NodeReader) {
        self.init(
            id: id, position: position, host: spec.string("host") ?? "",
            trafficPolicy: spec.child("trafficPolicy").map(TrafficPolicy.init(reader:)),
            subsets: spec.children("subsets").map(Subset.init(reader:)), exportTo: spec.strings("exportTo"),
            workloadSelector: spec.child("workloadSelector")?.stringMap("matchLabels") ?? [:])
    }
}

extension Subset {
    init(reader: NodeReader) {
        self.init(
            position: reader.position, name: reader.string("name") ?? "", labels: reader.stringMap("labels"),
            trafficPolicy: reader.child("trafficPolicy").map(TrafficPolicy.init(reader:)))
    }
}

extension TrafficPolicy {
    init(reader: NodeReader) {
        self.init(
            loadBalancer: reader.child("loadBalancer").map(LoadBalancerSettings.init(reader:)),
            connectionPool: reader.child("connectionPool").map(ConnectionPoolSettings.init(reader:)),
            outlierDetection: reader.child("outlierDetection").map(OutlierDetectionSettings.init(reader:)),
            tls: reader.child("tls").map(ClientTLSSettings.init(reader:)),
            retryBudget: reader.child("retryBudget").map {
                RetryBudgetSettings(
                    percent: $0.double("percent") ?? 20, minRetryConcurrency: $0.uint32("minRetryConcurrency") ?? 3,
                    intervalNanoseconds: max(0, $0.nanoseconds("budgetInterval") ?? 0))
            },
            tunnel: reader.child("tunnel").map {
                TunnelSettings(
                    position: $0.position, usesPOST: $0.string("protocol") == "POST", targetHost: $0.string("targetHost") ?? "",
                    targetPort: $0.port("targetPort") ?? 0)
            }, proxyProtocol: reader.child("proxyProtocol").map { $0.name("version").flatMap(ProxyProtocolVersion.init(rawValue:)) ?? .v1 },
            portLevelSettings: reader.children("portLevelSettings").compactMap { entry in
                guard let port = entry.child("port")?.port("number") else { return nil }
                return PortTrafficPolicy(
                    port: port, loadBalancer: entry.child("loadBalancer").map(LoadBalancerSettings.init(reader:)),
                    connectionPool: entry.child("connectionPool").map(ConnectionPoolSettings.init(reader:)),
                    outlierDetection: entry.child("outlierDetection").map(OutlierDetectionSettings.init(reader:)),
                    tls: entry.child("tls").map(ClientTLSSettings.init(reader:)))
            })
    }
}

extension LoadBalancerSettings {
    init(reader: NodeReader) {
        let name = reader.name("simple")
        self.init(
            position: reader.position("simple"),
            simple: name == "LEAST_CONN" ? .leastRequest : name.flatMap(Simple.init(rawValue:)),
            consistentHash: reader.child("consistentHash").flatMap(ConsistentHashSettings.init(reader:)),
            locality: reader.child("localityLbSetting").map(LocalitySettings.init(reader:)), warmup: WarmupSettings(balancer: reader))
    }
}

extension LocalitySettings {
    init(reader: NodeReader) {
        self.init(
            isEnabled: reader.bool("enabled") ?? true,
            distribute: reader.children("distribute").map { entry in
                Distribution(
                    position: entry.position, from: entry.string("from") ?? "",
                    to: entry.entries("to").map { ($0.key, UInt32(clamping: $0.reader.node.scalar.flatMap(NodeReader.integer) ?? 0)) })
            },
            failover: reader.children("failover").map { Failover(from: $0.string("from") ?? "", to: $0.string("to") ?? "") },
            failoverPriority: reader.strings("failoverPriority"))
    }
}

extension WarmupSettings {
    /// `warmup`, or the deprecated `warmupDurationSecs`.
    init?(balancer: NodeReader) {
        let own = balancer.child("warmup")
        guard let duration = own?.nanoseconds("duration") ?? balancer.nanoseconds("warmupDurationSecs"), duration > 0 else { return nil }
        self.init(
            durationNanoseconds: duration, minimumPercent: min(100, max(0, own?.double("minimumPercent") ?? 10)),
            aggression: max(1, own?.double("aggression") ?? 1))
    }
}

extension ConsistentHashSettings {
    init?(reader: NodeReader) {
        if let name = reader.string("httpHeaderName") {
            key = .header(name)
        } else if let cookie = reader.child("httpCookie") {
            key = .cookie(
                name: cookie.string("name") ?? "", path: cookie.string("path") ?? "", lifetime: cookie.nanoseconds("ttl"),
                attributes: cookie.children("attributes").map { ($0.string("name") ?? "", $0.string("value") ?? "") })
        } else if let name = reader.string("httpQueryParameterName") {
            key = .queryParameter(name)
        } else if reader.bool("useSourceIp") == true {
            key = .sourceIP
        } else {
            return nil
        }
        if let maglev = reader.child("maglev") {
            algorithm = .maglev(size: maglev.integer("tableSize").flatMap { UInt64(exactly: $0) } ?? 65_537)
        } else {
            let size = reader.child("ringHash")?.integer("minimumRingSize") ?? reader.integer("minimumRingSize")
            algorithm = .ring(minimum: size.flatMap { UInt64(exactly: $0) } ?? 1024)
        }
    }
}

extension ConnectionPoolSettings {
    init(reader: NodeReader) {
        let tcp = reader.child("tcp")
        let http = reader.child("http")
        self.init(
            connectTimeoutNanoseconds: tcp?.nanoseconds("connectTimeout"), idleTimeoutNanoseconds: http?.nanoseconds("idleTimeout"),
            maxRequestsPerConnection: http?.uint32("maxRequestsPerConnection"), maxConnections: tcp?.uint32("maxConnections"),
            http1MaxPendingRequests: http?.uint32("http1MaxPendingRequests"), http2MaxRequests: http?.uint32("http2MaxRequests"),
            maxRetries: http?.uint32("maxRetries"), upgradesToHTTP2: http?.name("h2UpgradePolicy") == "UPGRADE",
            forbidsHTTP2: http?.name("h2UpgradePolicy") == "DO_NOT_UPGRADE",
            usesClientProtocol: http?.bool("useClientProtocol") ?? false, maxConcurrentStreams: http?.uint32("maxConcurrentStreams"),
            keepalive: tcp?.child("tcpKeepalive").map {
                KeepaliveSettings(
                    probes: $0.uint32("probes"), timeNanoseconds: $0.nanoseconds("time"), intervalNanoseconds: $0.nanoseconds("interval"))
            },
            maxConnectionDurationNanoseconds: tcp?.nanoseconds("maxConnectionDuration"),
            tcpIdleTimeoutNanoseconds: tcp?.nanoseconds("idleTimeout"))
    }
}

extension OutlierDetectionSettings {
    init(reader: NodeReader) {
        self.init(
            position: reader.position, consecutive5xxErrors: reader.uint32("consecutive5xxErrors"),
            consecutiveGatewayErrors: reader.uint32("consecutiveGatewayErrors") ?? reader.uint32("consecutiveErrors"),
            consecutiveLocalOriginFailures: reader.uint32("consecutiveLocalOriginFailures"),
            splitExternalLocalOriginErrors: reader.bool("splitExternalLocalOriginErrors") ?? false,
            intervalNanoseconds: reader.nanoseconds("interval"),
            baseEjectionTimeNanoseconds: reader.nanoseconds("baseEjectionTime"),
            maxEjectionPercent: reader.uint32("maxEjectionPercent"), minHealthPercent: reader.uint32("minHealthPercent"))
    }
}
