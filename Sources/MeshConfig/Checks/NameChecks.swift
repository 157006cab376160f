/// Rules about names that several kinds share: labels and selectors, to whom a resource is shown, gateways, what a policy attaches to.
/// Source: Istio's `pkg/config/validation` (1.30) and the constraints of its CRDs; only the rules, in our own words.
struct NameChecks {
    let findings: Findings

    /// A mapping of labels of a workload.
    func check(labelsOf reader: NodeReader, _ name: String) {
        for (key, entry) in reader.entries(name) {
            if let problem = ObjectName.labelKeyProblem(key) {
                findings.error(entry.position, entry.path, "label \"\(key.prefix(64))\" \(problem)")
            }
            guard let value = entry.node.scalar, value.value == .string, let problem = ObjectName.labelValueProblem(value.text) else {
                continue
            }
            findings.error(entry.position, entry.path, "the label value \"\(value.shortened)\" \(problem)")
        }
    }

    /// `selector.matchLabels` or `workloadSelector.labels`: whole labels, none of them a pattern.
    func check(selectorOf spec: NodeReader, _ name: String, _ labels: String) {
        guard let selector = spec.child(name) else { return }
        let entries = selector.entries(labels)
        if entries.isEmpty {
            findings.warn(
                selector.position, selector.path, "a selector without labels selects every workload; leave it out, or give it \(labels)")
        }
        for (key, entry) in entries {
            if key.isEmpty {
                findings.error(entry.position, entry.path, "a label needs a name")
            } else if key.contains("*") || entry.node.scalar?.text.contains("*") == true {
                findings.error(entry.position, entry.path, "a selector compares whole labels; \"*\" is not accepted")
            }
        }
    }

    /// `exportTo`: `.`, `*` or names of namespaces, each once. `~` (nobody) is a ServiceEntry's alone.
    func check(exportToOf spec: NodeReader, nobody: Bool = false, ownOnly: Bool = false) {
        let entries = spec.positionedStrings("exportTo")
        let own = findings.resource?.namespace ?? "default"
        var seen: Set<String> = []
        for (text, position, path) in entries {
            if !seen.insert(text == "." ? own : text).inserted {
                findings.error(position, path, "\"\(text)\" is listed twice (\".\" is the resource's own namespace, \(own))")
            } else if ![".", "*"].contains(text), !(nobody && text == "~"), let problem = ObjectName.labelProblem(text) {
                findings.error(
                    position, path,
                    "\"\(text.prefix(64))\" \(problem); accepted: \".\" (own namespace), \"*\" (all)\(nobody ? ", \"~\" (nobody)" : "") "
                        + "or a namespace")
            } else if entries.count > 1, text == "*" || text == "~" {
                findings.error(position, path, "\"\(text)\" cannot be combined with others; keep it alone, or list namespaces")
            } else if ownOnly, text != ".", text != own {
                findings.error(position, path, "a rule with workloadSelector applies within its own namespace; write exportTo: [\".\"]")
            }
        }
    }

    /// `gateways`: `mesh`, NAME or NAMESPACE/NAME; the NAME.NAMESPACE.svc of old is understood.
    func check(gatewaysOf reader: NodeReader) {
        for (text, position, path) in reader.positionedStrings("gateways") {
            let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            if parts.count == 2 {
                for (part, what) in zip(parts, ["namespace", "name"]) {
                    if let problem = ObjectName.labelProblem(part) {
                        findings.error(position, path, "the \(what) in \"\(text.prefix(128))\" \(problem); write NAMESPACE/NAME")
                    }
                }
            } else if let problem = HostName.problem(text, wildcard: false) {
                findings.error(position, path, "gateway \"\(text.prefix(128))\" \(problem); accepted: mesh, NAME or NAMESPACE/NAME")
            } else if text.contains(".") {
                findings.warn(
                    position, path,
                    "\"\(text)\" is the old way to name a gateway; write "
                        + "\(Gateway.resolve(text, namespace: findings.resource?.namespace ?? "default"))")
            }
        }
    }

    func check(portNameOf port: NodeReader) {
        guard let name = port.string("name"), !name.isEmpty, let problem = ObjectName.labelProblem(name) else { return }
        findings.error(port.position("name"), "\(port.path).name", "port name \"\(name.prefix(64))\" \(problem)")
    }

    /// What a policy is attached to: a selector of workloads, or references. One of the two at most.
    func check(attachmentOf spec: NodeReader) {
        check(selectorOf: spec, "selector", "matchLabels")
        let given = ["selector", "targetRef", "targetRefs"].filter { $0 == "targetRefs" ? !spec.isEmptyList($0) : spec.has($0) }
        if given.count > 1 {
            findings.error(
                spec.position(given[1]), "\(spec.path).\(given[1])", "\(given.joined(separator: " and ")) exclude each other; keep one",
                code: .oneOf)
        }
        for reference in PolicyAttachment.references(of: spec) { check(reference: reference) }
    }

    /// By group; the core group is written as `` or `core`.
    private static let referable: [String: Set<String>] = [
        "core": ["Service"], "networking.istio.io": ["ServiceEntry"], "gateway.networking.k8s.io": ["Gateway", "GatewayClass"],
    ]

    private func check(reference: NodeReader) {
        findings.require(reference, "name", "of the resource in this namespace")
        findings.require(reference, "kind", "Service, ServiceEntry, Gateway or GatewayClass")
        if reference.string("namespace")?.isEmpty == false {
            findings.error(
                reference.position("namespace"), "\(reference.path).namespace",
                "a reference stays within the resource's own namespace; leave namespace out")
        }
        guard let kind = reference.string("kind"), !kind.isEmpty else { return }
        let group = reference.string("group") ?? ""
        if Self.referable[group.isEmpty ? "core" : group]?.contains(kind) == true {
            if !PolicyAttachment.isGateway(reference) {
                findings.add(
                    .notice, .notYetInEffect, reference.position("kind"), "\(reference.path).kind",
                    "a \(kind) is guarded at waypoints, and there are none here: nobody is meant; a selector names its workloads")
            }
            return
        }
        findings.error(
            reference.position("kind"), "\(reference.path).kind",
            "\(group.isEmpty ? "" : group + "/")\(kind) is not accepted; Service, networking.istio.io/ServiceEntry, "
                + "gateway.networking.k8s.io/Gateway or GatewayClass")
    }

    /// Texts of a list of which none may be empty.
    func nonEmpty(_ reader: NodeReader, _ name: String, _ what: String) {
        for (text, position, path) in reader.positionedStrings(name) where text.isEmpty {
            findings.error(position, path, "\(what) must not be empty")
        }
    }
}
