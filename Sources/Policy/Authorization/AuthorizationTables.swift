internal import Matching
internal import Primitives
internal import TelemetryModel

/// What a list of rules is for. The order is that of their judging (semantics 2.8).
enum RulePhase: Int, CaseIterable {
    /// Whose provider is asked before the others are looked at.
    case custom
    case audit
    case dryRunDeny
    case deny
    case dryRunAllow
    case allow

    /// A rule that lets in: it must not match more than is meant. The others must not match less.
    var isStrict: Bool { self == .allow || self == .dryRunAllow }
}

/// What a clause compares.
enum ClauseSubject: UInt8, BitwiseCopyable {
    case principal, namespace, serviceAccount, trustDomain
    case sourceAddress, remoteAddress, destinationAddress, destinationPort, serverName
    case host, method, path
    /// Path and query, as `:path`.
    case target
    case scheme, header
    /// Of the request's token: whom it is about, and a claim, by its path in `text`.
    case tokenPrincipal, claim
    /// What nothing here knows, such as what a filter of Envoy writes: absent.
    case nothing
}

/// One list of values. What is absent is none of them.
struct ClauseEntry: BitwiseCopyable {
    var subject = ClauseSubject.nothing
    var isNegated = false
    var isHTTPOnly = false
    /// Of a header: its name in lower case, in `text`. Of a claim: its path.
    var name = TableRange()
    /// In the table for the subject: `addresses`, `ports`, `accounts`, `paths`, else `strings`.
    var values = TableRange()
}

/// A service account: both names as they are.
struct AccountEntry: BitwiseCopyable {
    var namespace: TableRange
    var account: TableRange
}

/// A value of `paths`.
struct PathEntry: BitwiseCopyable {
    var matcher = StringMatcher()
    /// Meaningful with `isTemplate`.
    var template: PathTemplate?
}

/// A `source` or `operation`: all of its clauses must hold.
struct GroupEntry: BitwiseCopyable {
    var clauses = TableRange()
}

/// One rule: one of its sources, one of its operations (none = whatever it is), and all of its conditions.
struct RuleEntry: BitwiseCopyable {
    /// `ns[NAMESPACE]-policy[NAME]-rule[INDEX]`.
    var name = NameID.none
    var slot = RuleSlot.other
    var sources = TableRange()
    var operations = TableRange()
    var conditions = TableRange()
    /// It asks for something that only HTTP has.
    var isHTTPOnly = false
}

/// The rules of one phase, in the order of their names.
struct RuleListEntry: BitwiseCopyable {
    var rules = TableRange()
    /// There is a policy of the phase, though it may have no rules.
    var isThere = false
    var forHTTP = RuleIndexEntry()
    var forTCP = RuleIndexEntry()
}

/// By what rules are found, see `RuleIndexBuilder`.
struct RuleIndexEntry: BitwiseCopyable {
    /// Of `keys`; a power of two, or none.
    var keys = TableRange()
    /// Of `prefixLengths`, ascending.
    var prefixLengths = TableRange()
    /// Of `candidates`: rules that no key finds, ascending.
    var others = TableRange()
    var kinds: RuleKeyKinds = []
}

/// What the keys of an index are made of.
struct RuleKeyKinds: OptionSet, BitwiseCopyable {
    let rawValue: UInt8

    static let principal = RuleKeyKinds(rawValue: 1 << 0)
    static let namespace = RuleKeyKinds(rawValue: 1 << 1)
    static let path = RuleKeyKinds(rawValue: 1 << 2)
    static let pathPrefix = RuleKeyKinds(rawValue: 1 << 3)
    static let host = RuleKeyKinds(rawValue: 1 << 4)
    static let method = RuleKeyKinds(rawValue: 1 << 5)

    /// So that equal texts of different kinds are different keys.
    var seed: UInt64 { ByteHash.seed ^ (UInt64(rawValue) << 32 | 0x5DEE_CE66) }

    /// Never 0, which is a free slot.
    func hash(_ bytes: LentBytes) -> UInt64 { max(1, bytes.hash(seed: seed)) }
}

/// A slot of an index: a hash, and the rules (`candidates`) that it may mean, ascending. Open addressing; hash 0 = free.
struct RuleKeyEntry: BitwiseCopyable {
    var hash: UInt64 = 0
    var rules = TableRange()
}

/// All tables of an `AuthorizationSet`.
struct AuthorizationRows: BitwiseCopyable {
    let matchers: MatcherPool
    /// Proxies in front of a gateway that tell its clients' addresses.
    var trustedProxies: UInt32 = 0
    var lists = InlineArray<6, RuleListEntry>(repeating: RuleListEntry())
    var text = Table<UInt8>()
    var rules = Table<RuleEntry>()
    var groups = Table<GroupEntry>()
    var clauses = Table<ClauseEntry>()
    var strings = Table<StringMatcher>()
    var addresses = Table<AddressRange>()
    var ports = Table<UInt16>()
    var accounts = Table<AccountEntry>()
    var paths = Table<PathEntry>()
    var keys = Table<RuleKeyEntry>()
    var prefixLengths = Table<UInt16>()
    var candidates = Table<UInt32>()

    init(matchers: MatcherPool) { self.matchers = matchers }
}
