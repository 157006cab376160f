/// Who may do what at the workloads it selects (Istio: AuthorizationPolicy; semantics 2.8). A value; as written, with the place of each
/// field, and nothing resolved.
public struct AuthorizationPolicy: Sendable {
    public enum Action: String, Sendable, CaseIterable {
        case allow = "ALLOW"
        case deny = "DENY"
        /// Changes nothing; what it matches is counted and logged.
        case audit = "AUDIT"
        /// Asks an external authorizer (`ExternalAuthorizerSettings`).
        case custom = "CUSTOM"
    }

    /// The order in which policies are judged (semantics 2.8).
    public static let judgingOrder: [Action] = [.custom, .audit, .deny, .allow]

    public var id: ResourceID
    public var position: SourcePosition
    public var attachment: PolicyAttachment
    public var action: Action
    /// `istio.io/dry-run: "true"`: it is judged and counted, and changes nothing.
    public var isDryRun: Bool
    /// Of action CUSTOM: the provider that is asked, by its name in `meshConfig.extensionProviders`.
    public var provider: (name: String, position: SourcePosition)
    /// None = it matches nothing.
    public var rules: [Rule]

    /// Matches when one of `sources`, one of `operations` and all of `conditions` do; an empty list always does.
    public struct Rule: Sendable {
        public var position: SourcePosition
        public var sources: [Group]
        public var operations: [Group]
        public var conditions: [Clause]
    }

    /// A `source` or an `operation`: all of its clauses must hold.
    public struct Group: Sendable {
        public var position: SourcePosition
        public var clauses: [Clause]
    }

    /// One list of values: what is looked at must be one of them, or none of them.
    public struct Clause: Sendable {
        public var attribute: AuthorizationAttribute
        /// As written: `notPaths`, `when request.headers[x-token] notValues`.
        public var field: String
        public var values: [String]
        public var isNegated: Bool
        public var position: SourcePosition
    }

    /// Whether it speaks for a workload.
    public func selects(namespace: String, labels: [String: String], rootNamespace: String) -> Bool {
        attachment.includes(namespace: namespace, labels: labels, home: id.namespace, rootNamespace: rootNamespace)
    }
}

/// What a clause looks at.
public enum AuthorizationAttribute: Hashable, Sendable {
    /// The client's identity without `spiffe://`, and its parts.
    case principal, namespace, serviceAccount, trustDomain
    /// The address that the connection came from; the address of the client as the proxies before this one tell it.
    case sourceAddress, remoteAddress
    case destinationAddress, destinationPort, serverName
    case host, method, path
    /// In lower case.
    case header(String)
    /// Whom the request's token is about, `ISSUER/SUBJECT`.
    case tokenPrincipal
    /// A claim of the token, by the names that lead to it.
    case claim([String])
    /// Written by a filter: nothing here writes any. The text is the key as written.
    case metadata(String)

    /// There is nothing of the kind in a connection that is no HTTP (semantics 2.8).
    public var isHTTPOnly: Bool {
        switch self {
        case .host, .method, .path, .header, .tokenPrincipal, .claim, .metadata: true
        default: false
        }
    }

    /// It is claimed by a token that was verified.
    var isOfToken: Bool {
        switch self {
        case .tokenPrincipal, .claim: true
        default: false
        }
    }

    /// The attribute of a condition's `key`; nil = there is no such key.
    init?(key: String) {
        switch key {
        case "source.ip": self = .sourceAddress
        case "remote.ip": self = .remoteAddress
        case "source.namespace": self = .namespace
        case "source.principal": self = .principal
        case "source.serviceAccount": self = .serviceAccount
        case "source.trustDomain": self = .trustDomain
        case "destination.ip": self = .destinationAddress
        case "destination.port": self = .destinationPort
        case "connection.sni": self = .serverName
        default:
            if key.hasPrefix("request.headers["), key.hasSuffix("]") {
                self = .header(String(key.dropFirst("request.headers[".count).dropLast()).lowercased())
            } else if let attribute = Self.ofToken(key) {
                self = attribute
            } else if key.hasPrefix("experimental.envoy.filters.") {
                self = .metadata(key)
            } else {
                return nil
            }
        }
    }

    /// `request.auth.principal`, `.audiences`, `.presenter`, `.claims[a][b]`.
    private static func ofToken(_ key: String) -> AuthorizationAttribute? {
        switch key {
        case "request.auth.principal": .tokenPrincipal
        case "request.auth.audiences": .claim(["aud"])
        // OpenID Connect Core 1.0 section 2.
        case "request.auth.presenter": .claim(["azp"])
        default: claim(key)
        }
    }

    private static func claim(_ key: String) -> AuthorizationAttribute? {
        let prefix = "request.auth.claims"
        guard key.hasPrefix(prefix + "["), key.hasSuffix("]") else { return nil }
        let names = key.dropFirst(prefix.count + 1).dropLast().split(separator: "][", omittingEmptySubsequences: false).map(String.init)
        return names.allSatisfy({ !$0.isEmpty && !$0.contains("[") && !$0.contains("]") }) ? .claim(names) : nil
    }
}

extension AuthorizationPolicy {
    static let sourceFields: [(name: String, attribute: AuthorizationAttribute)] = [
        ("principals", .principal), ("requestPrincipals", .tokenPrincipal), ("namespaces", .namespace),
        ("serviceAccounts", .serviceAccount), ("ipBlocks", .sourceAddress), ("remoteIpBlocks", .remoteAddress),
        ("trustDomains", .trustDomain),
    ]
    static let operationFields: [(name: String, attribute: AuthorizationAttribute)] = [
        ("hosts", .host), ("ports", .destinationPort), ("methods", .method), ("paths", .path),
    ]

    init(id: ResourceID, position: SourcePosition, spec: NodeReader, metadata: NodeReader?) {
        self.id = id
        self.position = position
        attachment = PolicyAttachment(spec: spec)
        action = spec.name("action").flatMap(Action.init(rawValue:)) ?? .allow
        isDryRun = metadata?.child("annotations")?.string("istio.io/dry-run").map(Self.isTrue) ?? false
        let provider = spec.child("provider")
        self.provider = (provider?.string("name") ?? "", provider?.position("name") ?? position)
        rules = spec.children("rules").map { rule in
            Rule(
                position: rule.position,
                sources: Self.groups(rule, "from", "source", Self.sourceFields),
                operations: Self.groups(rule, "to", "operation", Self.operationFields),
                conditions: rule.children("when").flatMap(Self.clauses(ofCondition:)))
        }
    }

    /// As Go's `strconv.ParseBool`, which Istio uses.
    private static func isTrue(_ text: String) -> Bool { ["1", "t", "T", "TRUE", "true", "True"].contains(text) }

    private static func groups(
        _ rule: NodeReader, _ list: String, _ inner: String, _ fields: [(name: String, attribute: AuthorizationAttribute)]
    ) -> [Group] {
        rule.children(list).compactMap { entry in
            guard let reader = entry.child(inner) else { return nil }
            var clauses: [Clause] = []
            for (name, attribute) in fields {
                let negated = "not" + name.prefix(1).uppercased() + name.dropFirst()
                for (field, isNegated) in [(name, false), (negated, true)] where !reader.isEmptyList(field) {
                    clauses.append(
                        Clause(
                            attribute: attribute, field: field, values: reader.strings(field), isNegated: isNegated,
                            position: reader.position(field)))
                }
            }
            return Group(position: reader.position, clauses: clauses)
        }
    }

    /// Both lists of a condition must hold. A key that does not exist was reported when it was checked.
    private static func clauses(ofCondition condition: NodeReader) -> [Clause] {
        guard let key = condition.string("key"), let attribute = AuthorizationAttribute(key: key) else { return [] }
        return [("values", false), ("notValues", true)].compactMap { field, isNegated in
            guard !condition.isEmptyList(field) else { return nil }
            return Clause(
                attribute: attribute, field: "when \(key) \(field)", values: condition.strings(field), isNegated: isNegated,
                position: condition.position(field))
        }
    }
}
