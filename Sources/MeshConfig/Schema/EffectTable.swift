/// What is parsed and validated but not acted upon yet. Later work deletes rows; nothing else says "not yet".
///
/// A row is a field of a kind, list indices and map keys left out (`spec.http.retries`); everything below it goes with it.
/// `spec` alone stands for the whole kind.
enum EffectTable {
    static let notYetInEffect: [String: Set<String>] = [
        "DestinationRule": Set(
            policyRows(at: "spec.trafficPolicy") + policyRows(at: "spec.subsets.trafficPolicy")
                + policyRows(at: "spec.trafficPolicy.portLevelSettings")
                + policyRows(at: "spec.subsets.trafficPolicy.portLevelSettings")),
        // A prefix for Envoy's statistics per route, of which there are none here.
        "VirtualService": ["spec.http.match.statPrefix"],
        "ServiceEntry": ["spec.endpoints.network"],
        "WorkloadEntry": ["spec.network"],
        "Sidecar": [
            "spec.outboundTrafficPolicy.egressProxy", "spec.ingress.captureMode", "spec.egress.captureMode",
            "spec.ingress.connectionPool.http.http2KeepAlive", "spec.inboundConnectionPool.http.http2KeepAlive",
        ],
        "Telemetry": [
            "spec.metrics", "spec.accessLogging.filter", "spec.tracing.customTags",
            "spec.tracing.useRequestIdForTraceSampling", "spec.tracing.enableIstioTags",
        ],
        "IstioOperator": Set(operatorRows),
        "Gateway": ["spec.servers.defaultEndpoint"],
        "EnvoyFilter": ["spec"], "WorkloadGroup": ["spec"], "ProxyConfig": ["spec"], "WasmPlugin": ["spec"], "TrafficExtension": ["spec"],
    ]

    static func isInEffect(kind: String, field: String) -> Bool {
        !(notYetInEffect[kind]?.contains(field) ?? false)
    }

    private static func policyRows(at prefix: String) -> [String] {
        [
            "loadBalancer.sessionPersistence", "connectionPool.http.http2KeepAlive",
        ].map { "\(prefix).\($0)" }
    }

    /// Everything of IstioOperator except what `MeshSettings` holds.
    private static var operatorRows: [String] {
        let schema = Schema.istio
        let inEffect: [(String, String, Set<String>)] = [
            ("IstioOperator", "spec", ["meshConfig"]),
            (
                "MeshConfig", "spec.meshConfig",
                [
                    "accessLogFile", "accessLogFormat", "accessLogEncoding", "enableTracing", "defaultConfig",
                    "defaultProviders", "extensionProviders", "pathNormalization", "rootNamespace", "outboundTrafficPolicy",
                    "localityLbSetting", "enableAutoMtls", "trustDomain", "trustDomainAliases",
                ]
            ),
            ("MeshProxyConfig", "spec.meshConfig.defaultConfig", ["tracing", "zipkinAddress", "gatewayTopology"]),
            ("GatewayTopology", "spec.meshConfig.defaultConfig.gatewayTopology", ["forwardClientCertDetails", "numTrustedProxies"]),
            ("MeshTracing", "spec.meshConfig.defaultConfig.tracing", ["zipkin", "sampling", "tlsSettings"]),
            (
                "ClientTLSSettings", "spec.meshConfig.defaultConfig.tracing.tlsSettings",
                [
                    "mode", "clientCertificate", "privateKey", "caCertificates", "caCrl", "credentialName", "subjectAltNames", "sni",
                    "insecureSkipVerify",
                ]
            ),
            (
                "ExtensionProvider", "spec.meshConfig.extensionProviders",
                ["name", "zipkin", "prometheus", "envoyFileAccessLog", "envoyExtAuthzHttp", "envoyExtAuthzGrpc"]
            ),
            (
                "ZipkinProvider", "spec.meshConfig.extensionProviders.zipkin",
                ["service", "port", "enable64bitTraceId", "path", "traceContextOption"]
            ),
        ]
        return inEffect.flatMap { message, path, fields in
            (schema.messages[message]?.fields ?? []).map(\.name).filter { !fields.contains($0) }.map { "\(path).\($0)" }
        }
    }
}
