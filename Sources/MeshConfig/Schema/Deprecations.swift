/// Deprecated spellings that are honoured, and what to write instead. `VALUE` stands for the value written.
enum Deprecations {
    /// By `Message.field`.
    static let fields: [String: String] = [
        "HTTPRoute.mirrorPercent": "mirrorPercentage: {value: VALUE}",
        "FaultDelay.percent": "percentage: {value: VALUE}",
        "FaultDelay.exponentialDelay": "fixedDelay: VALUE",
        "CorsPolicy.allowOrigin": "allowOrigins: [{exact: ORIGIN}]",
        "L4MatchAttributes.sourceSubnet": "no replacement; the field never had an effect in Istio",
        "LoadBalancerSettings.warmupDurationSecs": "warmup: {duration: VALUE}",
        "ConsistentHashLB.minimumRingSize": "ringHash: {minimumRingSize: VALUE}",
        "OutlierDetection.consecutiveErrors":
            "consecutiveGatewayErrors: VALUE, which is what it means here (that many 502, 503, 504 or connection failures in a row); "
                + "current Istio ignores consecutiveErrors and ejects after 5 consecutive 5xx",
        "JWTRule.jwksUrl": "jwksUri: VALUE",
        "MeshProxyConfig.zipkinAddress": "tracing: {zipkin: {address: VALUE}}",
        "MeshProxyConfig.parentShutdownDuration": "terminationDrainDuration: VALUE",
        "AuthorizationPolicy.targetRef": "targetRefs: [...]",
        "RequestAuthentication.targetRef": "targetRefs: [...]",
        "Telemetry.targetRef": "targetRefs: [...]",
        "ExtAuthzHTTP.includeHeadersInCheck": "includeRequestHeadersInCheck: [...]",
        "MeshConfig.mixerCheckServer": "no replacement; Mixer was removed from Istio",
        "MeshConfig.mixerReportServer": "no replacement; Mixer was removed from Istio",
        "MeshConfig.disablePolicyChecks": "no replacement; Mixer was removed from Istio",
        "MeshConfig.disableMixerHttpReports": "no replacement; Mixer was removed from Istio",
        "MeshConfig.sdsUdsPath": "no replacement",
        "MeshConfig.thriftConfig": "no replacement",
    ]

    /// Accepted names of enums, by `Enum.NAME`.
    static let enumValues: [String: String] = [
        "SimpleLB.LEAST_CONN": "LEAST_REQUEST"
    ]
}
