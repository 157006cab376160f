/// MeshOutlierDetections and the hosts they are for: hosts and subsets that nobody has (IST0101), two for one host (SKN0374), those that
/// may never eject (SKN0366) and those by which nothing is judged (SKN0375).
enum MeshOutlierFindings {
    private struct Place: Hashable {
        var namespace, host, subset: String
    }

    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        var first: [Place: MeshOutlierDetection] = [:]
        for resource in context.configuration.meshOutlierDetections where !resource.host.isEmpty {
            let host = HostName.resolve(resource.host, namespace: resource.id.namespace).lowercased()
            checkReferences(resource, host, context, &report)
            let place = Place(namespace: resource.id.namespace, host: host, subset: resource.subset)
            if let other = first[place] {
                let what = resource.subset.isEmpty ? host : "subset \(resource.subset) of \(host)"
                report.add(
                    .conflictingMeshOutlierDetections, resource.id, resource.position, "spec.host",
                    "\(other.id) (\(other.position)) is for \(what) as well; that one, the first loaded, decides")
                continue
            }
            first[place] = resource
            guard resource.mode != .off, !host.hasPrefix("*") else { continue }
            let rules = context.configuration.destinationRules.filter { rule in
                let named = HostName.resolve(rule.host, namespace: rule.id.namespace).lowercased()
                return named == host || named.hasPrefix("*") && HostName.matches(named, host)
            }
            checkDetectors(resource, host, rules, context, &report)
            checkPercent(resource, host, rules, context, &report)
        }
    }

    private static func checkReferences(
        _ resource: MeshOutlierDetection, _ host: String, _ context: AnalysisContext, _ report: inout AnalysisReport
    ) {
        if context.hasServices, !context.hosts.overlaps(host) {
            report.add(
                .referenceNotFound, resource.id, resource.position, "spec.host",
                "no ServiceEntry has the host \(host), so nothing is judged by it",
                hint: report.suggestion(for: host, among: context.hostNames))
        }
        guard !resource.subset.isEmpty, !host.hasPrefix("*"), !context.subsetNames.names(of: host).contains(resource.subset) else { return }
        report.add(
            .referenceNotFound, resource.id, resource.position, "spec.subset",
            "no DestinationRule defines subset \(resource.subset) of \(host), so nothing is judged by it")
    }

    private static func checkDetectors(
        _ resource: MeshOutlierDetection, _ host: String, _ rules: [DestinationRule], _ context: AnalysisContext,
        _ report: inout AnalysisReport
    ) {
        guard resource.errorRate == nil, resource.latency == nil, rules.allSatisfy({ !$0.hasOutlierDetection }) else { return }
        let hasRates = context.configuration.upstreamPolicies.contains { policy in
            let named = HostName.resolve(policy.host, namespace: policy.id.namespace).lowercased()
            return (policy.successRate != nil || policy.failurePercentage != nil)
                && (named == host || named.hasPrefix("*") && HostName.matches(named, host))
        }
        guard !hasRates else { return }
        report.add(
            .judgesNothing, resource.id, resource.position, "spec",
            "it names no detector, and no DestinationRule for \(host) has outlierDetection: nothing is judged")
    }

    /// As for a DestinationRule: 100 x (ejected + 1) / hosts <= maxEjectionPercent (semantics 2.5).
    private static func checkPercent(
        _ resource: MeshOutlierDetection, _ host: String, _ rules: [DestinationRule], _ context: AnalysisContext,
        _ report: inout AnalysisReport
    ) {
        guard resource.mode == .enforce, let endpoints = context.endpoints(of: host), endpoints.areAddresses, endpoints.count > 0 else {
            return
        }
        // Where only some rules say so, it depends on the caller. Absent and 0 mean 10 there.
        let written = rules.compactMap { $0.trafficPolicy?.outlierDetection?.maxEjectionPercent }.filter { $0 > 0 }.max()
        let percent = Int(resource.maxEjectionPercent ?? written.map { UInt32(clamping: $0) } ?? 10)
        guard resource.subset.isEmpty, 100 > percent * endpoints.count else { return }
        let needed = (100 + endpoints.count - 1) / endpoints.count
        report.add(
            .neverEjects, resource.id, resource.position, "spec.maxEjectionPercent",
            "\(host) has \(endpoints.count) endpoint\(endpoints.count == 1 ? "" : "s"), of which at most \(percent) % may be ejected: not "
                + "even one ever is",
            hint: "Write maxEjectionPercent: \(needed) or more, or add endpoints.")
    }
}

extension DestinationRule {
    fileprivate var hasOutlierDetection: Bool {
        func has(_ policy: TrafficPolicy?) -> Bool {
            guard let policy else { return false }
            return policy.outlierDetection != nil || policy.portLevelSettings.contains { $0.outlierDetection != nil }
        }
        return has(trafficPolicy) || subsets.contains { has($0.trafficPolicy) }
    }
}
