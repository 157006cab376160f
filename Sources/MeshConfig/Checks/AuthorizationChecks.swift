internal import Primitives

/// Istio's rules for AuthorizationPolicy and PeerAuthentication.
struct AuthorizationChecks {
    let findings: Findings

    func check(peerAuthentication spec: NodeReader) {
        NameChecks(findings: findings).check(selectorOf: spec, "selector", "matchLabels")
        guard spec.has("portLevelMtls") else { return }
        if spec.child("selector")?.stringMap("matchLabels").isEmpty ?? true {
            findings.error(spec.position("portLevelMtls"), "spec.portLevelMtls", "portLevelMtls needs a selector")
        }
        if spec.entries("portLevelMtls").isEmpty {
            findings.error(spec.position("portLevelMtls"), "spec.portLevelMtls", "portLevelMtls must not be empty")
        }
    }

    func check(authorizationPolicy spec: NodeReader) {
        NameChecks(findings: findings).check(attachmentOf: spec)
        let action = spec.name("action") ?? "ALLOW"
        // An empty list counts as given; only absence is meaningless.
        if action == "DENY" || action == "CUSTOM", !spec.has("rules") {
            findings.error(
                spec.position("action"), "spec.rules", "action \(action) without rules never acts; write rules: [{}] for every request")
        }
        if action == "CUSTOM", spec.child("provider")?.string("name")?.isEmpty ?? true {
            findings.error(spec.position("action"), "spec.provider", "action CUSTOM needs provider: {name: NAME}")
        }
        if action != "CUSTOM", spec.has("provider") {
            findings.error(spec.position("provider"), "spec.provider", "provider needs action: CUSTOM")
        }
        for rule in spec.children("rules") {
            for (name, inner) in [("from", "source"), ("to", "operation")] {
                if rule.has(name), rule.isEmptyList(name) {
                    findings.error(
                        rule.position(name), "\(rule.path).\(name)", "an empty list matches nothing; leave \(name) out, or list a \(inner)")
                }
                for entry in rule.children(name) where !hasValues(entry.child(inner)) {
                    findings.error(entry.position, entry.path, "\(inner) is required and must have a field")
                }
            }
            for source in rule.children("from").compactMap({ $0.child("source") }) { check(source: source, isCustom: action == "CUSTOM") }
            for operation in rule.children("to").compactMap({ $0.child("operation") }) { check(operation: operation) }
            for condition in rule.children("when") { check(condition: condition, isCustom: action == "CUSTOM") }
            if action == "DENY" { checkReach(rule) }
        }
    }

    /// Whether a list of the mapping has an element.
    private func hasValues(_ reader: NodeReader?) -> Bool {
        reader?.node.pairs?.contains { $0.value.items?.isEmpty == false } ?? false
    }

    private func check(source: NodeReader, isCustom: Bool) {
        for name in ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"] { checkAddresses(source.positionedStrings(name)) }
        for pair in source.node.pairs ?? [] { NameChecks(findings: findings).nonEmpty(source, FieldName.canonical(pair.key), "a value") }
        let identities = ["principals", "notPrincipals", "requestPrincipals", "notRequestPrincipals", "namespaces", "notNamespaces"]
        for name in identities where isCustom && !source.isEmptyList(name) {
            findings.error(
                source.position(name), "\(source.path).\(name)",
                "\(name) cannot be used with action CUSTOM, which asks before identities are known")
        }
        let accounts = ["serviceAccounts", "notServiceAccounts"].filter { !source.isEmptyList($0) }
        if let first = accounts.first, !source.isEmptyList("principals") || !source.isEmptyList("namespaces") {
            findings.error(
                source.position(first), "\(source.path).\(first)", "serviceAccounts cannot be combined with principals or namespaces")
        }
    }

    private func checkAddresses(_ texts: [(text: String, position: SourcePosition, path: String)]) {
        for (text, position, path) in texts where IPAddress.family(text) == nil && !IPAddress.isPrefix(text) {
            findings.error(position, path, "\"\(text.prefix(64))\" is neither an IP address nor a CIDR prefix")
        }
    }

    private func checkPorts(_ texts: [(text: String, position: SourcePosition, path: String)]) {
        for (text, position, path) in texts where UInt16(text).map({ $0 > 0 }) != true {
            findings.error(position, path, "\"\(text.prefix(64))\" is not a port number, \"1\" to \"65535\"")
        }
    }

    private func check(operation: NodeReader) {
        for name in ["ports", "notPorts"] { checkPorts(operation.positionedStrings(name)) }
        for name in ["hosts", "notHosts", "methods", "notMethods", "paths", "notPaths"] {
            NameChecks(findings: findings).nonEmpty(operation, name, "a value")
        }
        for name in ["paths", "notPaths"] {
            for (text, position, path) in operation.positionedStrings(name) where !isPathPattern(text) {
                findings.error(
                    position, path,
                    "\"\(text.prefix(128))\" is no path template; {*} stands for one segment, {**} for any number, and neither names nor "
                        + "other wildcards stand beside them")
            }
        }
    }

    /// A template has `{*}` or `{**}` as whole segments and no other brace or star; without either it is a plain text with `*` at one end.
    private func isPathPattern(_ text: String) -> Bool {
        guard text.contains("{*}") || text.contains("{**}") else { return true }
        return text.split(separator: "/").allSatisfy { segment in
            segment == "{*}" || segment == "{**}" || !segment.utf8.contains { "{}*".utf8.contains($0) }
        }
    }

    /// Keys of `when` without a name in brackets, and those with one.
    private static let plainKeys: Set<String> = [
        "source.ip", "remote.ip", "source.namespace", "source.principal", "source.serviceAccount", "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences", "request.auth.presenter", "destination.ip", "destination.port", "connection.sni",
    ]
    private static let namedKeys = ["request.headers", "request.auth.claims", "experimental.envoy.filters."]

    private func check(condition: NodeReader, isCustom: Bool) {
        findings.require(condition, "key", "for example request.headers[x-token]")
        let lists = ["values", "notValues"]
        if lists.allSatisfy(condition.isEmptyList) { findings.error(condition.position, condition.path, "values or notValues is required") }
        guard let key = condition.string("key"), !key.isEmpty else { return }
        for name in lists {
            NameChecks(findings: findings).nonEmpty(condition, name, "a value")
            if ["source.ip", "remote.ip", "destination.ip"].contains(key) { checkAddresses(condition.positionedStrings(name)) }
            if key == "destination.port" { checkPorts(condition.positionedStrings(name)) }
        }
        let position = condition.position("key")
        if let prefix = Self.namedKeys.first(where: key.hasPrefix) {
            let open = key.firstIndex(of: "[")
            if !key.hasSuffix("]") || open.map({ key[$0...].utf8.count < 3 }) ?? true || AuthorizationAttribute(key: key) == nil {
                findings.error(position, "\(condition.path).key", "\"\(key.prefix(64))\" needs a name in brackets: \(prefix)[NAME]")
            }
        } else if !Self.plainKeys.contains(key) {
            var text =
                "\"\(key.prefix(64))\" is not accepted; one of "
                    + "\((Self.plainKeys.sorted() + Self.namedKeys.map { "\($0)[NAME]" }).joined(separator: ", "))"
            if let nearest = EditDistance.nearest(to: key, among: Self.plainKeys.sorted()) { text += ". Did you mean \(nearest)?" }
            findings.error(position, "\(condition.path).key", text)
        }
        if isCustom, key == "source.namespace" || key == "source.principal" || key.hasPrefix("request.auth.") {
            findings.error(
                position, "\(condition.path).key",
                "\(key.prefix(64)) cannot be used with action CUSTOM, which asks before identities are known")
        }
    }

    /// A DENY rule with fields of HTTP only is applied to TCP without them: it denies everything there.
    private func checkReach(_ rule: NodeReader) {
        let sources = rule.children("from").compactMap { $0.child("source") }
        let operations = rule.children("to").compactMap { $0.child("operation") }
        let narrowsTCP = sources.contains { source in
            [
                "principals", "notPrincipals", "ipBlocks", "notIpBlocks", "namespaces", "notNamespaces", "remoteIpBlocks",
                "notRemoteIpBlocks", "serviceAccounts", "notServiceAccounts", "trustDomains", "notTrustDomains",
            ].contains(where: source.has)
        }
        let hasPorts = operations.contains { $0.has("ports") || $0.has("notPorts") }
        guard !sources.isEmpty && operations.isEmpty && !narrowsTCP || !operations.isEmpty && !hasPorts else { return }
        findings.warn(
            rule.position, rule.path,
            "on TCP ports, which have none of the HTTP fields it asks for, this rule denies every connection; list the ports it is for")
    }
}
