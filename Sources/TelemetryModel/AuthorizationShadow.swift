/// What AuthorizationPolicies said of a request without deciding it: those that are tried out (`istio.io/dry-run`), and those of action
/// AUDIT. Of the rules the first that matched, `ns[NAMESPACE]-policy[NAME]-rule[INDEX]`; none = no rule did.
public struct AuthorizationShadow: Hashable, Sendable, BitwiseCopyable {
    public enum Result: UInt8, Sendable, BitwiseCopyable {
        /// There is no such policy, or it was not asked, because another one had refused the request.
        case none
        case allowed
        case denied

        /// Of the longest word that stands for one.
        public static let bytesMax = 7

        /// As Envoy's filter names it.
        public var text: StaticString? {
            switch self {
            case .none: nil
            case .allowed: "allowed"
            case .denied: "denied"
            }
        }
    }

    /// DENY policies that are tried out: `denied` by a rule.
    public var deny = Result.none
    /// ALLOW policies that are tried out: `allowed` by a rule.
    public var allow = Result.none
    /// AUDIT policies: `allowed` when a rule matched, `denied` when none did. They let everything in.
    public var audit = Result.none
    public var denyRule = NameID.none
    public var allowRule = NameID.none
    public var auditRule = NameID.none

    public init() {}

    /// One of its parts in an access log.
    public enum Part: String, Sendable, CaseIterable {
        case denyResult = "envoy.filters.http.rbac:istio_dry_run_deny_shadow_engine_result"
        case denyRule = "envoy.filters.http.rbac:istio_dry_run_deny_shadow_effective_policy_id"
        case allowResult = "envoy.filters.http.rbac:istio_dry_run_allow_shadow_engine_result"
        case allowRule = "envoy.filters.http.rbac:istio_dry_run_allow_shadow_effective_policy_id"
        /// `true` when an AUDIT rule matched, as Envoy's filter of action LOG keeps it.
        case auditHint = "envoy.common:access_log_hint"
        /// Which one; Envoy does not say.
        case auditRule = "envoy.filters.http.rbac:audit_effective_policy_id"
    }

    /// What there is to print: a word, or a name; neither = nothing.
    public func value(_ part: Part) -> (word: StaticString?, name: NameID) {
        switch part {
        case .denyResult: (deny.text, .none)
        case .denyRule: (nil, denyRule)
        case .allowResult: (allow.text, .none)
        case .allowRule: (nil, allowRule)
        case .auditHint: (audit == .none ? nil : audit == .allowed ? "true" : "false", .none)
        case .auditRule: (nil, auditRule)
        }
    }
}
