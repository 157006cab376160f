/// What clients are told to speak against what workloads take: a DestinationRule without mutual TLS to workloads that ask for it (SKN0369),
/// ISTIO_MUTUAL to workloads that take plaintext only (SKN0370), and workloads that ask for mutual TLS without the label by which it is
/// spoken to them (SKN0371).
enum TransportSecurityFindings {
    private static let label = "security.istio.io/tlsMode"

    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        let policies = PeerAuthentications(context.configuration)
        if policies.isEmpty { return }
        for rule in context.configuration.destinationRules where !rule.host.isEmpty {
            let host = HostName.resolve(rule.host, namespace: rule.id.namespace).lowercased()
            guard !host.hasPrefix("*") else { continue }
            for place in context.services(for: host) {
                let service = context.configuration.serviceEntries[place]
                let endpoints = context.endpoints(ofService: place).map { endpoint in
                    (endpoint, policies.rules(namespace: service.id.namespace, labels: endpoint.labels))
                }
                for port in service.ports { check(rule, host, port, endpoints, &report) }
            }
        }
        checkLabels(context, policies, &report)
    }

    private static func check(
        _ rule: DestinationRule, _ host: String, _ port: ServicePort, _ endpoints: [(WorkloadEndpoint, WorkloadMutualTLS)],
        _ report: inout AnalysisReport
    ) {
        let standard = rule.policy(subset: "", port: port.number).tls
        check(rule, standard, host, port, endpoints, &report)
        for subset in rule.subsets {
            // What a subset inherits was looked at for all endpoints.
            guard let own = rule.policy(subset: subset.name, port: port.number).tls, own.position != standard?.position else { continue }
            let selected = endpoints.filter { endpoint, _ in subset.labels.allSatisfy { endpoint.labels[$0.key] == $0.value } }
            check(rule, own, "subset \(subset.name) of \(host)", port, selected, &report)
        }
    }

    private static func check(
        _ rule: DestinationRule, _ tls: ClientTLSSettings?, _ what: String, _ port: ServicePort,
        _ endpoints: [(WorkloadEndpoint, WorkloadMutualTLS)], _ report: inout AnalysisReport
    ) {
        // Certificates of one's own may be those of the mesh.
        guard let tls, tls.mode != .mutual else { return }
        let isMutual = tls.mode == .istioMutual
        let refusing = endpoints.map { $1.rule(port: $0.port(for: port)) }.filter { $0.mode == (isMutual ? .disable : .strict) }
        guard let first = refusing.first else { return }
        report.add(
            isMutual ? .mutualTLSRefused : .mutualTLSMissing, rule.id, tls.position, "tls.mode",
            "\(tls.mode.rawValue) is spoken to \(what), of whose \(endpoints.count) endpoint\(endpoints.count == 1 ? "" : "s") "
                + "\(refusing.count) \(refusing.count == 1 ? "takes" : "take") \(isMutual ? "plaintext" : "mutual TLS") only on port "
                + "\(port.number): \(first.decider) says \(first.mode.rawValue)")
    }

    private static func checkLabels(_ context: AnalysisContext, _ policies: PeerAuthentications, _ report: inout AnalysisReport) {
        guard context.configuration.mesh.enablesAutoMutualTLS else { return }
        for workload in context.configuration.workloadEntries where workload.labels[label] != "istio" {
            guard let strict = policies.rules(namespace: workload.id.namespace, labels: workload.labels).strict else { continue }
            report.add(
                .mutualTLSLabelMissing, workload.id, workload.position, "spec.labels",
                "\(strict.decider) has it take mutual TLS only, and without the label \(label): istio callers speak plaintext to it "
                    + "unless a DestinationRule says ISTIO_MUTUAL")
        }
    }
}
