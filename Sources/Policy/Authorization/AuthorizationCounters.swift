internal import Synchronization

/// How requests and connections were judged.
public enum AuthorizationVerdict: Int, Sendable, BitwiseCopyable, CaseIterable {
    case allowed
    /// By a DENY rule.
    case denied
    /// No ALLOW rule matched.
    case notAllowed
    /// The same of policies that are tried out; counted besides what happened.
    case dryRunDenied
    case dryRunNotAllowed

    /// As a label.
    public var name: String {
        switch self {
        case .allowed: "allowed"
        case .denied: "denied"
        case .notAllowed: "not_allowed"
        case .dryRunDenied: "dry_run_denied"
        case .dryRunNotAllowed: "dry_run_not_allowed"
        }
    }
}

/// A worker's counters of verdicts and of the rules that matched. Written by the worker alone, read by any thread.
///
/// `@unchecked Sendable`: atomics, allocated for the object's life.
@safe
public final class AuthorizationCounters: @unchecked Sendable {
    private static let verdictCount = AuthorizationVerdict.allCases.count
    private static let count = RuleCatalog.slotsMax + 2 * verdictCount

    /// Rules by their slots, then verdicts of requests, then verdicts of connections.
    private let counters: UnsafeMutablePointer<Atomic<UInt64>>

    public init() {
        unsafe counters = .allocate(capacity: Self.count)
        for place in 0..<Self.count { unsafe (counters + place).initialize(to: Atomic(0)) }
    }

    deinit { unsafe counters.deallocate() }

    private static func place(_ verdict: AuthorizationVerdict, isHTTP: Bool) -> Int {
        RuleCatalog.slotsMax + verdict.rawValue + (isHTTP ? 0 : verdictCount)
    }

    /// The worker: one more.
    private func add(_ place: Int) {
        precondition(place >= 0 && place < Self.count, "a counter that does not exist")
        let counter = unsafe counters + place
        unsafe counter.pointee.store(counter.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }

    private func value(_ place: Int) -> UInt64 {
        precondition(place >= 0 && place < Self.count, "a counter that does not exist")
        return unsafe counters[place].load(ordering: .relaxed)
    }

    /// The worker: counts a request or connection that was judged.
    public func record(_ decision: AuthorizationDecision, isHTTP: Bool) {
        for index in 0..<decision.matches.count where decision.matches[index].isThere { add(Int(decision.matches[index].slot.rawValue)) }
        add(Self.place(decision.verdict, isHTTP: isHTTP))
        if let verdict = decision.dryRunVerdict { add(Self.place(verdict, isHTTP: isHTTP)) }
    }

    /// The worker: counts a request whose provider is asked because of a rule of action CUSTOM.
    public func record(_ match: AuthorizationDecision.Match) { add(Int(match.slot.rawValue)) }

    /// Requests and connections that a rule matched.
    public func matches(_ slot: RuleSlot) -> UInt64 { slot.rawValue < RuleCatalog.slotsMax ? value(Int(slot.rawValue)) : 0 }

    public func count(_ verdict: AuthorizationVerdict, isHTTP: Bool) -> UInt64 { value(Self.place(verdict, isHTTP: isHTTP)) }
}
