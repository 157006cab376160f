public import TelemetryModel

/// What the policies of a workload say of a request or connection.
public struct AuthorizationDecision: Sendable, BitwiseCopyable {
    /// A rule that matched.
    public struct Match: Sendable, BitwiseCopyable {
        public var isThere = false
        /// Of the rule in its set.
        public var rule: UInt32 = 0
        public var slot = RuleSlot.other
        /// `ns[NAMESPACE]-policy[NAME]-rule[INDEX]`.
        public var name = NameID.none

        static let none = Match()
    }

    /// The first rule that matched, by `RulePhase`.
    var matches = InlineArray<6, Match>(repeating: .none)
    public internal(set) var verdict = AuthorizationVerdict.allowed
    /// What policies that are tried out would have refused; nil = nothing.
    public internal(set) var dryRunVerdict: AuthorizationVerdict?
    /// What policies said that decide nothing.
    public internal(set) var shadow = AuthorizationShadow()

    public var isAllowed: Bool { verdict == .allowed }

    subscript(phase: RulePhase) -> Match {
        get { matches[phase.rawValue] }
        set { matches[phase.rawValue] = newValue }
    }

    /// The DENY rule that refused it; none = no ALLOW rule matched, or it is allowed.
    public var refusedBy: NameID { self[.deny].name }
}
