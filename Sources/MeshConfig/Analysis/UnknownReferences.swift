/// Names that nothing defines: ports of destinations and mirrors, and hosts that are not shown to the rule's namespace; hosts of
/// DestinationRules (IST0101, IST0112, IST0174).
///
/// Hosts and subsets that do not exist at all are loading's to report (`CrossResourceChecks`).
enum UnknownReferences {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        checkAnythingDeclared(context, &report)
        for rule in context.configuration.virtualServices {
            let asked = rule.http.isEmpty ? [:] : requestPorts(rule, context)
            for (index, route) in rule.http.enumerated() {
                let path = "spec.http[\(index)]"
                for (place, entry) in route.destinations.enumerated() {
                    let field = "\(path).route[\(place)].destination"
                    check(entry.destination, field, rule, "requests sent there answer 503", context, &report)
                    checkAmbiguousPort(entry.destination, field, rule, route, asked, context, &report)
                }
                for (place, mirror) in route.mirrors.enumerated() where mirror.percentage > 0 {
                    let field = route.mirrors.count == 1 ? "\(path).mirror" : "\(path).mirrors[\(place)]"
                    check(mirror.destination, field, rule, "no copy is sent", context, &report)
                }
            }
            var count = (tls: 0, tcp: 0)
            for route in rule.l4 {
                let path = route.isTLS ? "spec.tls[\(count.tls)]" : "spec.tcp[\(count.tcp)]"
                if route.isTLS { count.tls += 1 } else { count.tcp += 1 }
                for (place, entry) in route.destinations.enumerated() {
                    check(
                        entry.destination, "\(path).route[\(place)].destination", rule, "connections sent there are closed", context,
                        &report)
                }
            }
        }
        checkRuleHosts(context, &report)
        checkPolicies(context, &report)
    }

    /// Without any ServiceEntry every host is unknown: one word of it instead of one for each route.
    private static func checkAnythingDeclared(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        guard !context.hasServices else { return }
        let rules = context.configuration.virtualServices.filter { !$0.http.allSatisfy(\.destinations.isEmpty) || !$0.l4.isEmpty }
        let first = rules.first.map { ($0.id, $0.position) } ?? context.configuration.destinationRules.first.map { ($0.id, $0.position) }
        guard let (id, position) = first else { return }
        report.add(
            .nothingDeclared, id, position, "spec",
            "no ServiceEntry is among the files: whether the hosts that rules name exist is not checked",
            hint: "Name the files that declare the services as well; the proxy sends requests to declared services only.")
    }

    private static func check(
        _ destination: Destination, _ field: String, _ rule: VirtualService, _ consequence: String, _ context: AnalysisContext,
        _ report: inout AnalysisReport
    ) {
        checkVisibility(destination, field, rule, consequence, context, &report)
        checkPort(destination, field, rule, consequence, context, &report)
    }

    /// `exportTo` of a ServiceEntry: a proxy that uses the rule must see the service, too. Istio asks for the namespaces that the rule is
    /// shown to by name, else for its own.
    private static func checkVisibility(
        _ destination: Destination, _ field: String, _ rule: VirtualService, _ consequence: String, _ context: AnalysisContext,
        _ report: inout AnalysisReport
    ) {
        guard !destination.host.isEmpty else { return }
        let host = HostName.resolve(destination.host, namespace: rule.id.namespace).lowercased()
        let entries = context.allServices(for: host).map { context.configuration.serviceEntries[$0] }
        guard !entries.isEmpty else { return }
        let shown = rule.exportTo.filter { $0 != "." && $0 != "*" }
        for namespace in shown.isEmpty ? [rule.id.namespace] : shown {
            let isSeen = entries.contains { entry in
                entry.exportTo.isEmpty || entry.exportTo.contains("*") || entry.exportTo.contains(namespace)
                    || entry.exportTo.contains(".") && entry.id.namespace == namespace
            }
            if isSeen { continue }
            report.add(
                .referenceNotFound, rule.id, destination.position, field + ".host",
                "no ServiceEntry for \(host) is shown to namespace \(namespace) (\(entries[0].id) has exportTo "
                    + "\(entries[0].exportTo.prefix(10).joined(separator: ", "))); \(consequence)",
                hint: "Add \(namespace) to its exportTo.")
            return
        }
    }

    private static func checkPort(
        _ destination: Destination, _ field: String, _ rule: VirtualService, _ consequence: String, _ context: AnalysisContext,
        _ report: inout AnalysisReport
    ) {
        guard let port = destination.port, !destination.host.isEmpty else { return }
        let host = HostName.resolve(destination.host, namespace: rule.id.namespace).lowercased()
        let services = context.services(for: host).map { context.configuration.serviceEntries[$0] }
        guard !services.isEmpty, !services.contains(where: { $0.port(numbered: port) != nil }) else { return }
        let ports = Set(services.flatMap(\.ports).map(\.number)).sorted().map(String.init).joined(separator: ", ")
        report.add(
            .referenceNotFound, rule.id, destination.position, field + ".port",
            "\(host) has no port \(port) (\(ports.isEmpty ? "it has none" : "it has \(ports)")); \(consequence)",
            hint: "Write one of its ports.")
    }

    /// A destination without a port takes that of the request. Where the destination does not have it, which port is meant is a guess.
    private static func checkAmbiguousPort(
        _ destination: Destination, _ field: String, _ rule: VirtualService, _ route: HTTPRoute, _ asked: [UInt16: String],
        _ context: AnalysisContext,
        _ report: inout AnalysisReport
    ) {
        guard destination.port == nil, !destination.host.isEmpty, rule.appliesToMesh else { return }
        let host = HostName.resolve(destination.host, namespace: rule.id.namespace).lowercased()
        let targets = context.services(for: host).map { context.configuration.serviceEntries[$0] }
        let ports = Set(targets.flatMap(\.ports).map(\.number))
        guard ports.count > 1 else { return }
        // Ports that the match leaves; empty = all.
        let wanted = route.matches.allSatisfy { $0.port != nil } ? Set(route.matches.compactMap(\.port)) : []
        let others = asked.keys.filter { !ports.contains($0) && (wanted.isEmpty || wanted.contains($0)) }
        guard let missing = others.min(), let own = asked[missing] else { return }
        report.add(
            .destinationPortRequired, rule.id, destination.position, field + ".port",
            "\(host) has the ports \(ports.sorted().map(String.init).joined(separator: ", ")), and not \(missing), to which requests for "
                + "\(own) come: which one is meant is a guess")
    }

    /// The ports at which requests for a rule's hosts come, each with the first host that has it.
    private static func requestPorts(_ rule: VirtualService, _ context: AnalysisContext) -> [UInt16: String] {
        var result: [UInt16: String] = [:]
        for name in rule.hosts where rule.appliesToMesh && !name.hasPrefix("*") {
            let host = HostName.resolve(name, namespace: rule.id.namespace).lowercased()
            for service in context.services(for: host) {
                for port in context.configuration.serviceEntries[service].ports where port.protocol.isHTTP || port.protocol == .unspecified
                {
                    if result[port.number] == nil { result[port.number] = host }
                }
            }
        }
        return result
    }

    private static func checkRuleHosts(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        guard context.hasServices else { return }
        for rule in context.configuration.destinationRules where !rule.host.isEmpty {
            let host = HostName.resolve(rule.host, namespace: rule.id.namespace).lowercased()
            if context.hosts.overlaps(host) { continue }
            let meant = report.suggestion(for: host, among: context.hostNames)
            report.add(
                .unknownRuleHost, rule.id, rule.position, "spec.host",
                "no ServiceEntry has the host \(host), so the rule applies to nothing",
                hint: meant)
        }
    }

    private static func checkPolicies(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        for policy in context.configuration.upstreamPolicies where !policy.host.isEmpty {
            let host = HostName.resolve(policy.host, namespace: policy.id.namespace).lowercased()
            if context.hasServices, !context.hosts.overlaps(host) {
                let meant = report.suggestion(for: host, among: context.hostNames)
                report.add(
                    .referenceNotFound, policy.id, policy.position, "spec.host",
                    "no ServiceEntry has the host \(host), so the policy applies to nothing",
                    hint: meant)
            }
            guard !policy.subset.isEmpty, !host.hasPrefix("*"), !context.subsetNames.names(of: host).contains(policy.subset) else {
                continue
            }
            report.add(
                .referenceNotFound, policy.id, policy.position, "spec.subset",
                "no DestinationRule defines subset \(policy.subset) of \(host), so the policy applies to nothing")
        }
    }
}
