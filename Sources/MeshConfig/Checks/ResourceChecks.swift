/// Istio's rules across the fields of one resource, by its kind: where a new kind's checks are called.
enum ResourceChecks {
    static func findings(of kind: String, _ id: ResourceID, _ spec: NodeReader) -> Findings {
        let findings = Findings(resource: id)
        guard spec.node.pairs != nil else { return findings }
        switch kind {
        case "VirtualService": VirtualServiceChecks(findings: findings).check(virtualService: spec)
        case "DestinationRule": DestinationRuleChecks(findings: findings).check(destinationRule: spec)
        case "ServiceEntry": ServiceChecks(findings: findings).check(serviceEntry: spec)
        case "WorkloadEntry": ServiceChecks(findings: findings).check(workloadEntry: spec)
        case "Sidecar": SidecarChecks(findings: findings).check(sidecar: spec)
        case "Telemetry": PolicyChecks(findings: findings).check(telemetry: spec)
        case "IstioOperator": if let mesh = spec.child("meshConfig") { PolicyChecks(findings: findings).check(meshConfig: mesh) }
        case "PeerAuthentication": AuthorizationChecks(findings: findings).check(peerAuthentication: spec)
        case "AuthorizationPolicy": AuthorizationChecks(findings: findings).check(authorizationPolicy: spec)
        case "RequestAuthentication": TokenChecks(findings: findings).check(requestAuthentication: spec)
        case "Gateway": GatewayChecks(findings: findings).check(gateway: spec)
        case "UpstreamPolicy": UpstreamPolicyChecks(findings: findings).check(upstreamPolicy: spec)
        case "MeshOutlierDetection": MeshOutlierChecks(findings: findings).check(meshOutlierDetection: spec)
        case "WorkloadGroup": WorkloadGroupChecks(findings: findings).check(workloadGroup: spec)
        case "EnvoyFilter": EnvoyFilterChecks(findings: findings).check(envoyFilter: spec)
        case "WasmPlugin": ExtensionChecks(findings: findings).check(wasmPlugin: spec)
        case "TrafficExtension": ExtensionChecks(findings: findings).check(trafficExtension: spec)
        case "ProxyConfig":
            NameChecks(findings: findings).check(selectorOf: spec, "selector", "matchLabels")
            findings.range(spec, "concurrency", 0...Int64(Int32.max))
        default: break
        }
        return findings
    }
}
