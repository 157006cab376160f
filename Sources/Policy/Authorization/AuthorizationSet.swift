public import HTTP
internal import Matching
public import MeshConfig
internal import Primitives
internal import TelemetryModel

/// The AuthorizationPolicies of one workload, compiled: tables for requests, and what people are told of them. Any thread.
///
/// `@unchecked Sendable`: nothing of it is changed after `init`, the memory of its tables included.
@safe
public final class AuthorizationSet: @unchecked Sendable {
    let view: AuthorizationView
    /// What requests are judged by; good as long as the set.
    public let tables: AuthorizationTables
    /// In the order of their judging: by action, then by name.
    public let policies: [PolicyFacts]
    /// Whom the policies of action CUSTOM ask; nil = there is none.
    public let authorizer: ExternalAuthorizer?
    private let arena: TableArena
    private let matchers: MatcherMemory

    /// `rows`: tables in `arena`, its pool in `matchers`.
    init(
        _ rows: AuthorizationRows, in arena: consuming TableArena, _ matchers: consuming MatcherMemory, _ policies: [PolicyFacts],
        _ authorizer: ExternalAuthorizer?
    ) {
        self.authorizer = authorizer
        var arena = arena
        view = unsafe AuthorizationView(arena.place(rows))
        tables = AuthorizationTables(view)
        self.arena = arena
        self.matchers = matchers
        self.policies = policies
    }

    /// Lets everything in.
    public static let empty = AuthorizationCompiler.empty()

    /// Without policies everything is let in.
    public var isEmpty: Bool { policies.isEmpty }
}

/// A policy as people know it.
public struct PolicyFacts: Sendable {
    /// A rule of it.
    public struct Rule: Sendable {
        public var position: SourcePosition
        /// Of the rule in its set.
        var index: Int
        /// As written, in the order of the compiled groups and clauses.
        var source: AuthorizationPolicy.Rule
    }

    public var id: ResourceID
    public var position: SourcePosition
    public var action: AuthorizationPolicy.Action
    public var isDryRun: Bool
    public var rules: [Rule]
    var phase: RulePhase
}

/// The tables of an `AuthorizationSet`, by one pointer; copying it counts no reference. Whoever keeps one keeps the set for as long.
@safe
public struct AuthorizationTables: BitwiseCopyable {
    private let view: AuthorizationView

    /// Nothing is judged here; an external authorizer may still be asked.
    public let isEmpty: Bool
    /// There are policies of action CUSTOM.
    public let hasCustom: Bool

    init(_ view: AuthorizationView) {
        self.view = view
        isEmpty = RulePhase.allCases.allSatisfy { $0 == .custom || !view.rows.lists[$0.rawValue].isThere }
        hasCustom = view.rows.lists[RulePhase.custom.rawValue].isThere
    }

    /// The first rule of a policy of action CUSTOM that matches, whose provider is to be asked (semantics 2.8); not there = nobody is
    /// asked. Pure; allocates nothing.
    public func customMatch(_ request: AuthorizationRequest, _ head: borrowing MessageHead) -> AuthorizationDecision.Match {
        var decision = AuthorizationDecision()
        view.judge(.custom, request, head, &decision)
        return decision[.custom]
    }

    private func has(_ phase: RulePhase) -> Bool { view.rows.lists[phase.rawValue].isThere }

    /// Judges a request, or a connection, of which no head is read (semantics 2.8): AUDIT, then DENY, then ALLOW; where no ALLOW policy is
    /// there, what nothing denies is allowed. Policies that are tried out are judged beside them and decide nothing. Pure; allocates
    /// nothing; costs no more for rules that the client's identity, the host, the method or the path exclude.
    public func decide(_ request: AuthorizationRequest, _ head: borrowing MessageHead) -> AuthorizationDecision {
        var decision = AuthorizationDecision()
        if has(.audit) {
            view.judge(.audit, request, head, &decision)
            decision.shadow.audit = decision[.audit].isThere ? .allowed : .denied
            decision.shadow.auditRule = decision[.audit].name
        }
        if has(.dryRunDeny) {
            view.judge(.dryRunDeny, request, head, &decision)
            if decision[.dryRunDeny].isThere { decision.dryRunVerdict = .dryRunDenied }
            decision.shadow.deny = decision[.dryRunDeny].isThere ? .denied : .allowed
            decision.shadow.denyRule = decision[.dryRunDeny].name
        }
        view.judge(.deny, request, head, &decision)
        if decision[.deny].isThere {
            decision.verdict = .denied
            return decision
        }
        if has(.dryRunAllow) {
            view.judge(.dryRunAllow, request, head, &decision)
            decision.shadow.allow = decision[.dryRunAllow].isThere ? .allowed : .denied
            decision.shadow.allowRule = decision[.dryRunAllow].name
            if !decision[.dryRunAllow].isThere, decision.dryRunVerdict == nil { decision.dryRunVerdict = .dryRunNotAllowed }
        }
        if has(.allow) {
            view.judge(.allow, request, head, &decision)
            if !decision[.allow].isThere { decision.verdict = .notAllowed }
        }
        return decision
    }
}

extension AuthorizationView {
    fileprivate func judge(
        _ phase: RulePhase, _ request: AuthorizationRequest, _ head: borrowing MessageHead, _ decision: inout AuthorizationDecision
    ) {
        guard let rule = firstMatch(phase, request, head) else { return }
        let entry = rows.rules[rule]
        decision[phase] = AuthorizationDecision.Match(isThere: true, rule: UInt32(clamping: rule), slot: entry.slot, name: entry.name)
    }
}
