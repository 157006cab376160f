internal import JOSE
internal import Matching
public import MeshConfig
internal import Primitives
internal import Synchronization
public import TelemetryModel

/// Compiles the RequestAuthentications that select a workload. Off the worker threads; linear in their rules.
public struct RequestAuthenticationCompiler {
    /// Keys in the configuration that cannot be used.
    static let badKeys = "SKN0325"
    /// Keys of a set that are left out.
    static let keysLeftOut = "SKN0326"

    private static let serials = Atomic<UInt64>(0)
    /// Claims whose text is a list of words in any case (semantics 2.9).
    private static let wordClaims = ["scope", "permission"]

    private let names: Catalogs
    private let keys: IssuerKeys
    private var text = GrowingTable<UInt8>()
    private var texts = GrowingTable<TableRange>()
    private var places = GrowingTable<TokenPlaceEntry>()
    private var rules = GrowingTable<TokenRuleEntry>()
    private var claimHeaders = GrowingTable<ClaimHeaderEntry>()
    /// Places of each group as written, and the rules of it.
    private var groups: [(places: [Place], rules: [UInt32])] = []
    private var ownHeaders: Set<String> = []
    private var facts: [TokenRuleFacts] = []
    private var isRequired = false
    private var problems: [Diagnostic] = []

    private enum Place: Hashable {
        case header(RequestAuthentication.Header, ignoresCase: Bool)
        case parameter(String)
        case cookie(String)
    }

    /// The set of a workload of `namespace` with `labels`. A set with errors must not be adopted. `keys` gets the sources of keys.
    public static func compile(
        _ configuration: MeshConfiguration, namespace: String, labels: [String: String], names: Catalogs, keys: IssuerKeys
    ) -> (TokenRuleSet, [Diagnostic]) {
        let root = configuration.mesh.rootNamespace
        // Those of the whole mesh first, then by name, as Istio gathers them.
        let selected = configuration.requestAuthentications
            .filter { $0.selects(namespace: namespace, labels: labels, rootNamespace: root) }
            .sorted { ($0.id.namespace != root ? 1 : 0, $0.id.name) < ($1.id.namespace != root ? 1 : 0, $1.id.name) }
        var compiler = RequestAuthenticationCompiler(names, keys)
        for resource in selected {
            for (place, rule) in resource.rules.enumerated() { compiler.add(rule, place, of: resource.id) }
        }
        return (compiler.finish(), compiler.problems)
    }

    /// Without rules.
    static func empty() -> TokenRuleSet { RequestAuthenticationCompiler(Catalogs(), IssuerKeys()).finish() }

    private init(_ names: Catalogs, _ keys: IssuerKeys) {
        self.names = names
        self.keys = keys
    }

    private mutating func add(_ rule: RequestAuthentication.Rule, _ place: Int, of id: ResourceID) {
        guard let row = row(rule, id) else { return }
        var entry = TokenRuleEntry()
        entry.issuer = text.add(text: rule.issuer)
        entry.audiences = addTexts(rule.audiences.map(Self.essence))
        entry.wordClaims = addTexts(Self.wordClaims + rule.spaceDelimitedClaims)
        let written = rule.claimHeaders.map { pair in
            let path = ClaimPath.joined(pair.claim.split(separator: ".", omittingEmptySubsequences: false).map(String.init))
            return ClaimHeaderEntry(claim: text.add(text: path), header: text.add(text: pair.header))
        }
        entry.claimHeaders = claimHeaders.add(contentsOf: written)
        entry.payloadHeader = text.add(text: rule.payloadHeader)
        ownHeaders.formUnion(rule.claimHeaders.map(\.header))
        if !rule.payloadHeader.isEmpty { ownHeaders.insert(rule.payloadHeader) }
        entry.forwardsToken = rule.forwardsToken
        entry.keys = Int32(clamping: row)
        if rule.isRequired { isRequired = true }
        let places = Self.places(of: rule)
        let group = groups.firstIndex { $0.places == places } ?? groups.count
        if group == groups.count { groups.append((places, [])) }
        entry.group = UInt32(truncatingIfNeeded: group)
        groups[group].rules.append(UInt32(truncatingIfNeeded: rules.count))
        rules.add(entry)
        facts.append(TokenRuleFacts(id: id, place: place, source: rule, keys: row))
    }

    private static func essence(_ audience: String) -> String {
        let bytes = Array(audience.utf8)
        return unsafe bytes.withUnsafeBytes { unsafe TokenAudience.essence(LentBytes($0)).text }
    }

    private mutating func addTexts(_ values: [String]) -> TableRange {
        let made = values.map { text.add(text: $0) }
        return texts.add(contentsOf: made)
    }

    private static func places(of rule: RequestAuthentication.Rule) -> [Place] {
        let own =
            rule.headers.map { Place.header($0, ignoresCase: false) } + rule.parameters.map { .parameter($0) }
                + rule.cookies.map { .cookie($0) }
        guard own.isEmpty else { return own }
        return [
            .header(RequestAuthentication.Header(name: "authorization", prefix: "Bearer "), ignoresCase: true),
            .parameter("access_token"),
        ]
    }

    /// The rule's row of keys; nil = they cannot be used, which is reported.
    private mutating func row(_ rule: RequestAuthentication.Rule, _ id: ResourceID) -> Int? {
        var set: KeySet?
        if case .inline(let json) = rule.keys {
            do throws(KeySetFault) {
                let made = try KeySet.parse(Array(json.utf8), allowsSymmetric: true)
                for problem in made.problems { report(.warning, Self.keysLeftOut, rule.keysPosition, id, problem) }
                set = made
            } catch {
                report(.error, Self.badKeys, rule.keysPosition, id, "\(error)")
                return nil
            }
        }
        if let row = keys.row(of: rule.keys, timeoutNanoseconds: rule.timeoutNanoseconds, set: set) { return row }
        report(.error, Self.badKeys, rule.keysPosition, id, "more than \(TokenLimits.sourcesMax) sources of keys since the start; restart")
        return nil
    }

    private mutating func report(
        _ severity: Diagnostic.Severity, _ code: String, _ position: SourcePosition, _ id: ResourceID, _ message: String
    ) {
        problems.append(
            Diagnostic(severity: severity, code: code, position: position, resource: id, field: "spec.jwtRules.jwks", message: message))
    }

    // MARK: The set

    private func finish() -> TokenRuleSet {
        var copy = self
        return copy.place()
    }

    private mutating func place() -> TokenRuleSet {
        var groupRules = GrowingTable<UInt32>()
        var entries = GrowingTable<TokenGroupEntry>()
        for group in groups {
            let made = group.places.map { compile($0) }
            entries.add(TokenGroupEntry(places: places.add(contentsOf: made), rules: groupRules.add(contentsOf: group.rules)))
        }
        let own = ownHeaders.sorted().map { text.add(text: $0) }
        var arena = TableArena()
        var rows = TokenRows()
        rows.serial = Self.serials.add(1, ordering: .relaxed).newValue
        rows.isRequired = isRequired
        rows.text = arena.table(text.items)
        rows.texts = arena.table(texts.items)
        rows.places = arena.table(places.items)
        rows.groups = arena.table(entries.items)
        rows.groupRules = arena.table(groupRules.items)
        rows.rules = arena.table(rules.items)
        rows.claimHeaders = arena.table(claimHeaders.items)
        rows.ownHeaders = arena.table(own)
        return TokenRuleSet(rows, in: arena, facts, TokenFaultNames(names))
    }

    private mutating func compile(_ place: Place) -> TokenPlaceEntry {
        var entry = TokenPlaceEntry()
        switch place {
        case .header(let header, let ignoresCase):
            entry.kind = .header
            entry.name = text.add(text: header.name)
            entry.prefix = text.add(text: header.prefix)
            entry.ignoresCase = ignoresCase
        case .parameter(let name):
            entry.kind = .parameter
            entry.name = text.add(text: name)
        case .cookie(let name):
            entry.kind = .cookie
            entry.name = text.add(text: name)
        }
        return entry
    }
}
