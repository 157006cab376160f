internal import Primitives

/// Rules across resources. Where Istio would still serve traffic these are warnings, not errors, also where
/// `istioctl analyze` uses the word error: a single file must load without the rest of the mesh beside it.
struct CrossResourceChecks {
    let configuration: MeshConfiguration
    private(set) var items: [Diagnostic] = []
    private(set) var omittedWarnings = 0

    init(_ configuration: MeshConfiguration) { self.configuration = configuration }

    mutating func run() {
        // Errors first: warnings must not take their room.
        checkSidecars()
        checkHostConflicts()
        checkRuleConflicts()
        checkDestinations()
        checkProviders()
        checkGatewaySelectors()
    }

    private mutating func add(
        _ severity: Diagnostic.Severity, _ code: DiagnosticCode, _ id: ResourceID, _ position: SourcePosition, _ field: String,
        _ message: String
    ) {
        guard items.count < Findings.kept else {
            omittedWarnings += 1
            return
        }
        items.append(
            Diagnostic(severity: severity, code: code.rawValue, position: position, resource: id, field: field, message: message))
    }

    /// Of rules that some namespace sees both.
    private mutating func checkHostConflicts() {
        var owners: [String: ResourceID] = [:]
        for rule in configuration.virtualServices where rule.appliesToMesh {
            let isEverywhere = rule.exportTo.isEmpty || rule.exportTo.contains("*")
            let viewers = isEverywhere ? ["*"] : Set(rule.exportTo.map { $0 == "." ? rule.id.namespace : $0 }).sorted()
            for (index, host) in rule.hosts.enumerated() {
                let name = HostName.resolve(host, namespace: rule.id.namespace).lowercased()
                // `*`: seen everywhere; `?`: seen somewhere.
                let keys = isEverywhere ? ["*", "?"] : ["*"] + viewers
                if let first = keys.lazy.compactMap({ owners["\($0)|\(name)"] }).first {
                    if first == rule.id { continue }
                    add(
                        .warning, .conflictingHosts, rule.id, rule.position, "spec.hosts[\(index)]",
                        "\(first) already routes \(name); only that one, the first loaded, is used. Merge the two into one resource.")
                } else {
                    for viewer in viewers + ["?"] where owners["\(viewer)|\(name)"] == nil { owners["\(viewer)|\(name)"] = rule.id }
                }
            }
        }
    }

    /// Of rules of one namespace that select the same workloads: callers use their own namespace's before others, and a rule for some
    /// workloads comes before those for all.
    private mutating func checkRuleConflicts() {
        struct Subject: Hashable {
            var namespace: String
            var host: String
            var selector: [String: String]
        }
        // The first rule, and the one whose traffic policy is used.
        var owners: [Subject: (first: ResourceID, policy: ResourceID?)] = [:]
        for rule in configuration.destinationRules {
            let name = HostName.resolve(rule.host, namespace: rule.id.namespace).lowercased()
            let subject = Subject(namespace: rule.id.namespace, host: name, selector: rule.workloadSelector)
            let own = rule.trafficPolicy == nil ? nil : rule.id
            guard let known = owners[subject] else {
                owners[subject] = (rule.id, own)
                continue
            }
            let policy =
                switch (known.policy, own) {
                case (let used?, .some): "the traffic policy of \(used), the first loaded; the one here is left out"
                case (let used?, nil): "the traffic policy of \(used)"
                case (nil, .some): "the traffic policy of this one, since \(known.first) has none"
                case (nil, nil): "neither has a traffic policy"
                }
            owners[subject] = (known.first, known.policy ?? own)
            add(
                .warning, .conflictingRules, rule.id, rule.position, "spec.host",
                "\(known.first) is for \(name) too: subsets of both are used, and \(policy). Merge the two.")
        }
    }

    private mutating func checkDestinations() {
        let subsets = SubsetNames(configuration.destinationRules)
        let services = configuration.serviceEntries.flatMap(\.hosts).map { $0.lowercased() }
        let names = HostSet(services)
        func check(_ destination: Destination, _ field: String, _ rule: VirtualService, _ consequence: String) {
            guard !destination.host.isEmpty else { return }
            let host = HostName.resolve(destination.host, namespace: rule.id.namespace).lowercased()
            if !services.isEmpty, !names.covers(host) {
                var text = "no ServiceEntry has the host \(host); \(consequence)"
                if items.count < Findings.kept, let nearest = EditDistance.nearest(to: host, among: Array(services.prefix(1000))) {
                    text += ". Did you mean \(nearest)?"
                }
                add(.warning, .referenceNotFound, rule.id, destination.position, field + ".host", text)
            }
            guard !destination.subset.isEmpty else { return }
            let defined = subsets.names(of: host)
            guard !defined.contains(destination.subset) else { return }
            let known = defined.sorted().joined(separator: ", ")
            add(
                .warning, .referenceNotFound, rule.id, destination.position, field + ".subset",
                "no DestinationRule defines subset \(destination.subset) of \(host) "
                    + "(\(known.isEmpty ? "it has none" : "it has \(known)")); \(consequence)")
        }
        for rule in configuration.virtualServices {
            for (routeIndex, route) in rule.http.enumerated() {
                for (index, entry) in route.destinations.enumerated() {
                    check(
                        entry.destination, "spec.http[\(routeIndex)].route[\(index)].destination", rule, "requests routed there answer 503")
                }
                for (index, mirror) in route.mirrors.enumerated() where mirror.percentage > 0 {
                    check(
                        mirror.destination, "spec.http[\(routeIndex)].\(route.mirrors.count == 1 ? "mirror" : "mirrors[\(index)]")", rule,
                        "no copy is sent")
                }
            }
            var count = (tls: 0, tcp: 0)
            for route in rule.l4 {
                let path = route.isTLS ? "spec.tls[\(count.tls)]" : "spec.tcp[\(count.tcp)]"
                if route.isTLS { count.tls += 1 } else { count.tcp += 1 }
                for (index, entry) in route.destinations.enumerated() {
                    check(entry.destination, "\(path).route[\(index)].destination", rule, "connections sent there are closed")
                }
            }
        }
    }

    private mutating func checkSidecars() {
        var defaults: [String: ResourceID] = [:]
        var selecting: [String: ResourceID] = [:]
        var carriers: [String: [Int]] = [:]
        for (index, workload) in configuration.workloadEntries.enumerated() {
            for (key, value) in workload.labels { carriers["\(workload.id.namespace)/\(key)=\(value)", default: []].append(index) }
        }
        for sidecar in configuration.sidecars {
            let selector = sidecar.workloadSelector ?? [:]
            guard !selector.isEmpty else {
                if let first = defaults[sidecar.id.namespace] {
                    add(
                        .error, .multipleDefaultSidecars, sidecar.id, sidecar.position, "spec.workloadSelector",
                        "\(first) has no workloadSelector either; one Sidecar of a namespace at most may be its default")
                } else {
                    defaults[sidecar.id.namespace] = sidecar.id
                }
                continue
            }
            // The label of the selector that the fewest workloads carry decides how many are looked at.
            let candidates =
                selector.map { carriers["\(sidecar.id.namespace)/\($0.key)=\($0.value)"] ?? [] }.min { $0.count < $1.count } ?? []
            for index in candidates where Labels.select(selector, configuration.workloadEntries[index].labels) {
                guard items.count < Findings.kept else { return }
                let workload = configuration.workloadEntries[index]
                let key = "\(workload.id.namespace)/\(workload.id.name)"
                if let first = selecting[key] {
                    add(
                        .error, .conflictingSidecarSelectors, sidecar.id, sidecar.position, "spec.workloadSelector",
                        "\(first) selects WorkloadEntry \(key) as well; let one Sidecar select it")
                } else {
                    selecting[key] = sidecar.id
                }
            }
        }
    }

    /// A Gateway whose labels no workload carries opens nothing, whoever runs.
    private mutating func checkGatewaySelectors() {
        for gateway in configuration.gateways where !gateway.selector.isEmpty {
            if configuration.workloadEntries.contains(where: { Labels.select(gateway.selector, $0.labels) }) { continue }
            let labels = gateway.selector.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
            add(
                .warning, .referenceNotFound, gateway.id, gateway.position, "spec.selector",
                "no WorkloadEntry has the labels \(labels), so no proxy opens these ports. Add one with them and run its proxy with "
                    + "--node NAME.")
        }
    }

    private mutating func checkProviders() {
        for telemetry in configuration.telemetries {
            let logging = telemetry.accessLogging.enumerated().map {
                ("spec.accessLogging[\($0.offset)]", $0.element.position, $0.element.providers)
            }
            let tracing = telemetry.tracing.enumerated().map { ("spec.tracing[\($0.offset)]", $0.element.position, $0.element.providers) }
            for (field, position, providers) in logging + tracing {
                for name in providers where !name.isEmpty && configuration.mesh.provider(named: name) == nil {
                    let known = configuration.mesh.extensionProviders.map(\.name) + ExtensionProvider.builtIn.keys.sorted()
                    add(
                        .warning, .referenceNotFound, telemetry.id, position, "\(field).providers",
                        "provider \"\(name)\" is not in meshConfig.extensionProviders, so it does nothing; known: "
                            + "\(known.joined(separator: ", "))")
                }
            }
        }
    }
}

/// The subsets that DestinationRules define for a host: by its name, or by a wildcard above it.
struct SubsetNames {
    private var byHost: [String: Set<String>] = [:]
    /// Wildcards that end within a label.
    private var partial: [String] = []

    init(_ rules: [DestinationRule]) {
        for rule in rules {
            byHost[HostName.resolve(rule.host, namespace: rule.id.namespace).lowercased(), default: []].formUnion(rule.subsets.map(\.name))
        }
        partial = byHost.keys.filter(HostName.isPartialWildcard)
    }

    /// `host`: resolved, in lower case. Costs its labels, not the rules of the mesh.
    func names(of host: String) -> Set<String> {
        (HostName.withWildcards(host) + partial.filter { HostName.matches($0, host) }).reduce(into: []) { $0.formUnion(byHost[$1] ?? []) }
    }
}
