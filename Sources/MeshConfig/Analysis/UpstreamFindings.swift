/// DestinationRules and the endpoints they are about: subsets that select nothing (IST0173), subsets defined twice (SKN0352), outlier
/// detection that may never eject (SKN0366), hashes of what connections do not have (SKN0367).
enum UpstreamFindings {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        var definitions: [String: (labels: [String: String], rule: ResourceID, position: SourcePosition)] = [:]
        var endpoints: [String: EndpointsByLabel?] = [:]
        for rule in context.configuration.destinationRules where !rule.host.isEmpty {
            let host = HostName.resolve(rule.host, namespace: rule.id.namespace).lowercased()
            for (index, subset) in rule.subsets.enumerated() where !subset.name.isEmpty {
                // Callers look in their own namespace first, so other namespaces' rules are other matters.
                let key = "\(rule.id.namespace)|\(host)|\(subset.name)"
                guard let first = definitions[key] else {
                    definitions[key] = (subset.labels, rule.id, subset.position)
                    continue
                }
                // So are rules of some callers only, and a name twice in one rule.
                guard rule.workloadSelector.isEmpty, first.rule != rule.id, first.labels != subset.labels else { continue }
                report.add(
                    .conflictingSubsets, rule.id, subset.position, "spec.subsets[\(index)]",
                    "\(first.rule) (\(first.position)) defines subset \(subset.name) of \(host) by other labels; that one, the first "
                        + "loaded, is used")
            }
            guard !host.hasPrefix("*") else { continue }
            if endpoints[host] == nil { endpoints[host] = .some(context.endpoints(of: host)) }
            if let known = endpoints[host] ?? nil { checkEndpoints(rule, host, known, &report) }
            checkHash(rule, host, context, &report)
        }
    }

    private static func checkEndpoints(
        _ rule: DestinationRule, _ host: String, _ endpoints: EndpointsByLabel, _ report: inout AnalysisReport
    ) {
        for (index, subset) in rule.subsets.enumerated() where !subset.labels.isEmpty {
            // Istio adds these to endpoints by where they run.
            if subset.labels.keys.contains(where: { $0.hasPrefix("topology.") }) { continue }
            guard endpoints.count(subset.labels) == 0 else { continue }
            let wanted = subset.labels.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: ",")
            report.add(
                .subsetSelectsNothing, rule.id, subset.position, "spec.subsets[\(index)].labels",
                "none of the \(endpoints.count) endpoint\(endpoints.count == 1 ? "" : "s") of \(host) carries \(wanted): routes to "
                    + "subset \(subset.name) answer 503",
                hint: present(subset.labels, among: endpoints))
        }
        guard endpoints.areAddresses else { return }
        if let outlier = rule.trafficPolicy?.outlierDetection {
            check(outlier, endpoints: endpoints.count, host, "spec.trafficPolicy", rule.id, &report)
        }
        for (index, subset) in rule.subsets.enumerated() {
            guard let outlier = subset.trafficPolicy?.outlierDetection else { continue }
            check(
                outlier, endpoints: endpoints.count(subset.labels), "subset \(subset.name) of \(host)",
                "spec.subsets[\(index)].trafficPolicy", rule.id,
                &report)
        }
    }

    /// The values that the endpoints do have for the labels asked for.
    private static func present(_ labels: [String: String], among endpoints: EndpointsByLabel) -> String? {
        for (key, wanted) in labels.sorted(by: { $0.key < $1.key }) {
            guard let values = endpoints.values[key], !values.contains(wanted) else { continue }
            let shown = values.count > 8 ? "other values" : values.sorted().joined(separator: ", ")
            return "For \(key) the endpoints have \(shown); correct the subset's labels or theirs."
        }
        return nil
    }

    /// One more may be ejected while 100 x (ejected + 1) / hosts <= maxEjectionPercent (semantics 2.5).
    private static func check(
        _ outlier: OutlierDetectionSettings, endpoints: Int, _ what: String, _ path: String, _ id: ResourceID,
        _ report: inout AnalysisReport
    ) {
        // Absent and 0 mean 10.
        let percent = outlier.maxEjectionPercent.flatMap { $0 == 0 ? nil : Int($0) } ?? 10
        guard endpoints > 0, 100 > percent * endpoints else { return }
        let needed = (100 + endpoints - 1) / endpoints
        report.add(
            .neverEjects, id, outlier.position, "\(path).outlierDetection.maxEjectionPercent",
            "\(what) has \(endpoints) endpoint\(endpoints == 1 ? "" : "s"), of which at most \(percent) % may be ejected: not even one "
                + "ever is",
            hint: "Write maxEjectionPercent: \(needed) or more, or add endpoints.")
    }

    private static func checkHash(_ rule: DestinationRule, _ host: String, _ context: AnalysisContext, _ report: inout AnalysisReport) {
        guard let balancer = rule.trafficPolicy?.loadBalancer, let hash = balancer.consistentHash else { return }
        let key: String
        switch hash.key {
        case .sourceIP: return
        case .header(let name): key = "header \(name)"
        case .cookie(let name, _, _, _): key = "cookie \(name)"
        case .queryParameter(let name): key = "query parameter \(name)"
        }
        let ports = context.services(for: host).flatMap { context.configuration.serviceEntries[$0].ports }
        guard !ports.isEmpty, ports.allSatisfy({ !$0.protocol.isHTTP && $0.protocol != .unspecified }) else { return }
        let names = Set(ports.map(\.protocol.rawValue)).sorted().joined(separator: ", ")
        report.add(
            .hashNeedsHTTP, rule.id, rule.position, "spec.trafficPolicy.loadBalancer.consistentHash",
            "the hash is of the \(key) of requests, and \(host) is read as \(names), without requests: every connection goes to any "
                + "endpoint")
    }
}
