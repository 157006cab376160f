internal import Matching
public import MeshConfig
internal import Primitives
public import TelemetryModel

/// Compiles the AuthorizationPolicies that select a workload. Off the worker threads; linear in the policies.
public struct AuthorizationCompiler {
    /// A rule that the matchers cannot be made of.
    static let badRule = "SKN0320"

    /// A rule before it is placed.
    private struct Draft {
        var policy: AuthorizationPolicy
        var place: Int
        var name: String
    }

    private let principals: PrincipalExpansion
    private let trustedProxies: UInt32
    private let names: Catalogs
    private let catalog: RuleCatalog
    private var matchers = MatcherPoolBuilder()
    private var text = GrowingTable<UInt8>()
    private var rules = GrowingTable<RuleEntry>()
    private var groups = GrowingTable<GroupEntry>()
    private var clauses = GrowingTable<ClauseEntry>()
    private var strings = GrowingTable<StringMatcher>()
    private var addresses = GrowingTable<AddressRange>()
    private var ports = GrowingTable<UInt16>()
    private var accounts = GrowingTable<AccountEntry>()
    private var paths = GrowingTable<PathEntry>()
    private var keys = GrowingTable<RuleKeyEntry>()
    private var prefixLengths = GrowingTable<UInt16>()
    private var candidates = GrowingTable<UInt32>()
    private var lists = InlineArray<6, RuleListEntry>(repeating: RuleListEntry())
    /// Index of each rule in the set, by its policy and its place there.
    private var places: [ResourceID: [Int: Int]] = [:]
    private var problems: [Diagnostic] = []

    /// The set of a workload of `namespace` with `labels`. A set with errors must not be adopted. `names` takes the names of the rules,
    /// `catalog` gives them their counters, and `authorizers` the provider that they ask.
    public static func compile(
        _ configuration: MeshConfiguration, namespace: String, labels: [String: String], names: Catalogs, catalog: RuleCatalog,
        authorizers: AuthorizerCatalog = AuthorizerCatalog()
    ) -> (AuthorizationSet, [Diagnostic]) {
        let root = configuration.mesh.rootNamespace
        let selected = configuration.authorizationPolicies.filter {
            $0.selects(namespace: namespace, labels: labels, rootNamespace: root)
        }
        var compiler = AuthorizationCompiler(configuration.mesh, names, catalog)
        for phase in RulePhase.allCases { compiler.add(phase, selected.filter { Self.phase(of: $0) == phase }) }
        let (authorizer, problems) = AuthorizerCompiler.compile(
            selected.filter { $0.action == .custom }, configuration.mesh, authorizers)
        return (compiler.finish(selected, authorizer), compiler.problems + problems)
    }

    private init(_ mesh: MeshSettings, _ names: Catalogs, _ catalog: RuleCatalog) {
        principals = PrincipalExpansion(trustDomain: mesh.trustDomain, aliases: mesh.trustDomainAliases)
        trustedProxies = mesh.trustedProxies
        self.names = names
        self.catalog = catalog
    }

    private static func phase(of policy: AuthorizationPolicy) -> RulePhase {
        switch policy.action {
        case .allow: policy.isDryRun ? .dryRunAllow : .allow
        case .deny: policy.isDryRun ? .dryRunDeny : .deny
        case .custom: .custom
        case .audit: .audit
        }
    }

    /// Without policies.
    static func empty() -> AuthorizationSet {
        AuthorizationCompiler(MeshSettings(), Catalogs(), RuleCatalog()).finish([], nil)
    }

    // MARK: Rules

    private mutating func add(_ phase: RulePhase, _ policies: [AuthorizationPolicy]) {
        // Envoy keeps them by name, and the first that matches is the one that is told.
        let drafts = policies.flatMap { policy in
            policy.rules.indices.map { place in
                Draft(policy: policy, place: place, name: "ns[\(policy.id.namespace)]-policy[\(policy.id.name)]-rule[\(place)]")
            }
        }.sorted { $0.name < $1.name }
        let start = rules.count
        var (forHTTP, forTCP) = (RuleIndexBuilder(first: start), RuleIndexBuilder(first: start))
        for draft in drafts {
            let rule = draft.policy.rules[draft.place]
            let entry = compile(rule, draft)
            places[draft.policy.id, default: [:]][draft.place] = rules.count
            rules.add(entry)
            let keys = RuleKeys(rule: rule, namespace: draft.policy.id.namespace, principals: principals)
            forHTTP.add(keys.ofRequest)
            forTCP.add(phase.isStrict && entry.isHTTPOnly ? nil : keys.ofConnection)
        }
        var list = RuleListEntry(rules: rules.range(from: start), isThere: !policies.isEmpty)
        list.forHTTP = forHTTP.build(keys: &keys, prefixLengths: &prefixLengths, candidates: &candidates)
        list.forTCP = forTCP.build(keys: &keys, prefixLengths: &prefixLengths, candidates: &candidates)
        lists[phase.rawValue] = list
    }

    private mutating func compile(_ rule: AuthorizationPolicy.Rule, _ draft: Draft) -> RuleEntry {
        let id = draft.policy.id
        var entry = RuleEntry()
        entry.name = names.name(draft.name)
        entry.slot = catalog.slot(
            of: RuleLabels(
                namespace: id.namespace, policy: id.name, rule: draft.place, action: draft.policy.action.rawValue,
                isDryRun: draft.policy.isDryRun))
        entry.sources = compile(rule.sources, id)
        entry.operations = compile(rule.operations, id)
        entry.conditions = compile(rule.conditions, id)
        let all = (rule.sources + rule.operations).flatMap(\.clauses) + rule.conditions
        entry.isHTTPOnly = all.contains { $0.attribute.isHTTPOnly }
        return entry
    }

    private mutating func compile(_ written: [AuthorizationPolicy.Group], _ id: ResourceID) -> TableRange {
        let made = written.map { GroupEntry(clauses: compile($0.clauses, id)) }
        return groups.add(contentsOf: made)
    }

    private mutating func compile(_ written: [AuthorizationPolicy.Clause], _ id: ResourceID) -> TableRange {
        let made = written.map { compile($0, id) }
        return clauses.add(contentsOf: made)
    }

    // MARK: Clauses

    private mutating func compile(_ clause: AuthorizationPolicy.Clause, _ id: ResourceID) -> ClauseEntry {
        var entry = ClauseEntry()
        entry.isNegated = clause.isNegated
        entry.isHTTPOnly = clause.attribute.isHTTPOnly
        switch clause.attribute {
        case .principal:
            entry.subject = .principal
            entry.values = addStrings(clause.values.flatMap(principals.expand))
        case .namespace: (entry.subject, entry.values) = (.namespace, addStrings(clause.values))
        case .trustDomain: (entry.subject, entry.values) = (.trustDomain, addStrings(clause.values))
        case .serviceAccount: (entry.subject, entry.values) = (.serviceAccount, addAccounts(clause.values, id.namespace))
        case .sourceAddress: (entry.subject, entry.values) = (.sourceAddress, addAddresses(clause, id))
        case .remoteAddress: (entry.subject, entry.values) = (.remoteAddress, addAddresses(clause, id))
        case .destinationAddress: (entry.subject, entry.values) = (.destinationAddress, addAddresses(clause, id))
        case .destinationPort:
            entry.subject = .destinationPort
            entry.values = ports.add(contentsOf: clause.values.compactMap { UInt16($0) })
        case .serverName: (entry.subject, entry.values) = (.serverName, addStrings(clause.values, ignoringCase: true))
        case .host: (entry.subject, entry.values) = (.host, addStrings(clause.values, ignoringCase: true))
        case .method: (entry.subject, entry.values) = (.method, addStrings(clause.values))
        case .path: (entry.subject, entry.values) = (.path, addPaths(clause, id))
        case .header(let name): compile(header: name, clause, &entry)
        case .tokenPrincipal: (entry.subject, entry.values) = (.tokenPrincipal, addStrings(clause.values))
        case .claim(let names):
            (entry.subject, entry.values) = (.claim, addStrings(clause.values))
            entry.name = text.add(text: ClaimPath.joined(names))
        case .metadata: entry.subject = .nothing
        }
        return entry
    }

    /// A pseudo-header is what it stands for in every version of HTTP, and `host` is its other name.
    private mutating func compile(header name: String, _ clause: AuthorizationPolicy.Clause, _ entry: inout ClauseEntry) {
        switch name {
        case ":authority", "host": (entry.subject, entry.values) = (.host, addStrings(clause.values, ignoringCase: true))
        case ":method": (entry.subject, entry.values) = (.method, addStrings(clause.values))
        case ":path": (entry.subject, entry.values) = (.target, addStrings(clause.values))
        case ":scheme": (entry.subject, entry.values) = (.scheme, addStrings(clause.values))
        default:
            entry.subject = .header
            entry.name = text.add(text: name)
            entry.values = addStrings(clause.values)
        }
    }

    private mutating func addStrings(_ values: [String], ignoringCase: Bool = false) -> TableRange {
        let made = values.map { Self.matcher($0, ignoringCase, &matchers) }
        return strings.add(contentsOf: made)
    }

    /// `*` = anything that is there, `*abc` = suffix, `abc*` = prefix.
    private static func matcher(_ value: String, _ ignoringCase: Bool, _ matchers: inout MatcherPoolBuilder) -> StringMatcher {
        if value == "*" { return .present }
        if value.hasPrefix("*") { return matchers.addSuffix(String(value.dropFirst()), ignoringCase: ignoringCase) }
        if value.hasSuffix("*") { return matchers.addPrefix(String(value.dropLast()), ignoringCase: ignoringCase) }
        return matchers.addExact(value, ignoringCase: ignoringCase)
    }

    private mutating func addAccounts(_ values: [String], _ namespace: String) -> TableRange {
        let made = values.map { value in
            let name = AccountName(value, in: namespace)
            return AccountEntry(namespace: text.add(text: name.namespace), account: text.add(text: name.account))
        }
        return accounts.add(contentsOf: made)
    }

    private mutating func addAddresses(_ clause: AuthorizationPolicy.Clause, _ id: ResourceID) -> TableRange {
        var made: [AddressRange] = []
        for value in clause.values {
            if let range = AddressRange(text: value) {
                made.append(range)
            } else {
                report(clause, id, "\"\(value.prefix(64))\" is no address and no CIDR prefix")
            }
        }
        return addresses.add(contentsOf: made)
    }

    static func isTemplate(_ path: String) -> Bool { path.contains("{*}") || path.contains("{**}") }

    private mutating func addPaths(_ clause: AuthorizationPolicy.Clause, _ id: ResourceID) -> TableRange {
        var made: [PathEntry] = []
        for value in clause.values {
            guard Self.isTemplate(value) else {
                made.append(PathEntry(matcher: Self.matcher(value, false, &matchers)))
                continue
            }
            do throws(PathTemplate.Invalid) {
                made.append(PathEntry(template: try matchers.addPathTemplate(value)))
            } catch {
                report(clause, id, "\"\(value.prefix(128))\": \(error)")
            }
        }
        return paths.add(contentsOf: made)
    }

    private mutating func report(_ clause: AuthorizationPolicy.Clause, _ id: ResourceID, _ message: String) {
        problems.append(
            Diagnostic(
                severity: .error, code: Self.badRule, position: clause.position, resource: id, field: clause.field, message: message))
    }

    // MARK: The set

    private func finish(_ selected: [AuthorizationPolicy], _ authorizer: ExternalAuthorizer?) -> AuthorizationSet {
        var arena = TableArena()
        let memory = matchers.finish()
        var rows = AuthorizationRows(matchers: memory.pool)
        rows.trustedProxies = trustedProxies
        rows.lists = lists
        rows.text = arena.table(text.items)
        rows.rules = arena.table(rules.items)
        rows.groups = arena.table(groups.items)
        rows.clauses = arena.table(clauses.items)
        rows.strings = arena.table(strings.items)
        rows.addresses = arena.table(addresses.items)
        rows.ports = arena.table(ports.items)
        rows.accounts = arena.table(accounts.items)
        rows.paths = arena.table(paths.items)
        rows.keys = arena.table(keys.items)
        rows.prefixLengths = arena.table(prefixLengths.items)
        rows.candidates = arena.table(candidates.items)
        return AuthorizationSet(rows, in: arena, memory, facts(selected), authorizer)
    }

    private func facts(_ selected: [AuthorizationPolicy]) -> [PolicyFacts] {
        selected.map { policy in
            let rules = policy.rules.enumerated().map { place, rule in
                PolicyFacts.Rule(position: rule.position, index: places[policy.id]?[place] ?? 0, source: rule)
            }
            return PolicyFacts(
                id: policy.id, position: policy.position, action: policy.action, isDryRun: policy.isDryRun, rules: rules,
                phase: Self.phase(of: policy))
        }.sorted {
            ($0.phase.rawValue, $0.id.namespace, $0.id.name) < ($1.phase.rawValue, $1.id.namespace, $1.id.name)
        }
    }
}
