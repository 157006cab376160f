internal import Synchronization

/// What became of the checks of requests.
public enum CheckOutcome: Int, Sendable, BitwiseCopyable, CaseIterable {
    case ok, denied, error
    /// Errors whose requests went on all the same; counted besides.
    case failureModeAllowed

    /// As part of a metric's name.
    public var name: String {
        switch self {
        case .ok: "ok"
        case .denied: "denied"
        case .error: "error"
        case .failureModeAllowed: "failure_mode_allowed"
        }
    }
}

/// Where a provider's checks are counted: a number below `AuthorizerCatalog.slotsMax`, for the life of the process.
public struct AuthorizerSlot: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Of providers for which there was no room.
    public static let other = AuthorizerSlot(rawValue: 0)
}

/// The providers that the process has known, by their names, so that their counters go on over reloads. Any thread; a lock, for compiling
/// and printing only.
public final class AuthorizerCatalog: Sendable {
    /// Providers with counters of their own, and `AuthorizerSlot.other`.
    public static let slotsMax = 32

    private let names = Mutex<[String]>([])

    public init() {}

    public func slot(of name: String) -> AuthorizerSlot {
        names.withLock { names in
            if let known = names.firstIndex(of: name) { return AuthorizerSlot(rawValue: UInt8(clamping: known + 1)) }
            guard names.count < Self.slotsMax - 1 else { return .other }
            names.append(name)
            return AuthorizerSlot(rawValue: UInt8(clamping: names.count))
        }
    }

    /// Every slot in use but `other`.
    public var all: [(slot: AuthorizerSlot, name: String)] {
        names.withLock { $0.enumerated().map { (AuthorizerSlot(rawValue: UInt8(clamping: $0.offset + 1)), $0.element) } }
    }
}

/// A worker's counters of checks, by provider and outcome. Written by the worker alone, read by any thread.
///
/// `@unchecked Sendable`: atomics, allocated for the object's life.
@safe
public final class AuthorizerCounters: @unchecked Sendable {
    private static let outcomes = CheckOutcome.allCases.count
    private static let count = AuthorizerCatalog.slotsMax * outcomes

    private let counters: UnsafeMutablePointer<Atomic<UInt64>>

    public init() {
        unsafe counters = .allocate(capacity: Self.count)
        for place in 0..<Self.count { unsafe (counters + place).initialize(to: Atomic(0)) }
    }

    deinit { unsafe counters.deallocate() }

    private static func place(_ outcome: CheckOutcome, _ slot: AuthorizerSlot) -> Int {
        let place = Int(slot.rawValue) * outcomes + outcome.rawValue
        precondition(place < count, "a counter that does not exist")
        return place
    }

    /// The worker: one more.
    public func record(_ outcome: CheckOutcome, of slot: AuthorizerSlot) {
        let counter = unsafe counters + Self.place(outcome, slot)
        unsafe counter.pointee.store(counter.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }

    public func count(_ outcome: CheckOutcome, of slot: AuthorizerSlot) -> UInt64 {
        unsafe counters[Self.place(outcome, slot)].load(ordering: .relaxed)
    }
}
