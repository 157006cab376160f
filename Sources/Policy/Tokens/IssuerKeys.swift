public import JOSE
public import MeshConfig
public import Primitives
internal import Synchronization

/// The key sets of all issuers that a process knows, and how their fetching goes. Any thread; a lock, which workers take only when keys
/// have changed or are missing.
///
/// A source keeps its row for the life of the process, over reloads, so that a reload fetches nothing anew.
public final class IssuerKeys: Sendable {
    /// What is known of one source.
    public struct Row: Sendable {
        public let source: RequestAuthentication.Keys
        /// Of one fetch, nanoseconds.
        public var timeoutNanoseconds: UInt64
        /// The current configuration asks for it.
        public var isUsed = true
        /// The last good set; nil = there has been none.
        public var set: KeySet?
        /// Another one with every set.
        public var generation: UInt64 = 0
        /// Why the last fetch failed; nil = it did not.
        public var failure: String?
        /// When the last fetch ended, and when the last good one did.
        public var attempted: MonotonicInstant?
        public var fetched: MonotonicInstant?
        public var fetchedUnixNanoseconds: UInt64 = 0
        public var attempts: UInt64 = 0
        public var failures: UInt64 = 0
        /// A token asks for keys that are not there.
        public var isWanted = false

        /// Not fetched: it is in the configuration.
        public var isInline: Bool {
            if case .inline = source { return true }
            return false
        }

        /// Whether a token may have it fetched (again).
        public func mayFetch(now: MonotonicInstant) -> Bool {
            guard !isInline else { return false }
            guard let attempted else { return true }
            return now.nanoseconds(since: attempted) >= TokenLimits.refetchNanoseconds
        }
    }

    private struct Known {
        var rows: [Row] = []
        var places: [RequestAuthentication.Keys: Int] = [:]
        var wake: (@Sendable () -> Void)?
    }

    private let known = Mutex(Known())

    public init() {}

    /// A copy of all rows, by their numbers.
    public var rows: [Row] { known.withLock { $0.rows } }

    /// What is called, on any thread, when a token asks for keys that are not there, or a source is new.
    public func setWake(_ wake: @escaping @Sendable () -> Void) { known.withLock { $0.wake = wake } }

    /// The row of a source, which is made when it is new; nil = there are too many. `set`: of keys that are in the configuration.
    func row(of source: RequestAuthentication.Keys, timeoutNanoseconds: UInt64, set: KeySet?) -> Int? {
        known.withLock { known in
            if let place = known.places[source] {
                known.rows[place].timeoutNanoseconds = timeoutNanoseconds
                return place
            }
            guard known.rows.count < TokenLimits.sourcesMax else { return nil }
            var row = Row(source: source, timeoutNanoseconds: timeoutNanoseconds)
            row.set = set
            row.generation = 1
            known.rows.append(row)
            known.places[source] = known.rows.count - 1
            return known.rows.count - 1
        }
    }

    /// Says which rows a configuration that is now in effect asks for; the others are not fetched any more. New ones are fetched.
    public func use(_ rules: TokenRuleSet) {
        let used = Set(rules.rules.map(\.keys))
        let wake = known.withLock { known in
            for place in known.rows.indices { known.rows[place].isUsed = used.contains(place) }
            return known.wake
        }
        wake?()
    }

    /// Asks for a fetch. The rate is bounded by whoever fetches as well (`Row.mayFetch`).
    func want(_ place: Int) {
        let wake = known.withLock { known in
            guard known.rows.indices.contains(place), !known.rows[place].isWanted else { return nil as (@Sendable () -> Void)? }
            known.rows[place].isWanted = true
            return known.wake
        }
        wake?()
    }

    /// Whoever fetches: how a fetch ended. A failure leaves the last good set as it is; so does the same set.
    public func note(_ place: Int, _ result: Result<KeySet, KeyFetchError>, now: MonotonicInstant, unixNanoseconds: UInt64) {
        known.withLock { known in
            guard known.rows.indices.contains(place) else { return }
            known.rows[place].isWanted = false
            known.rows[place].attempted = now
            known.rows[place].attempts &+= 1
            switch result {
            case .success(let set):
                // Tokens that were verified by the same keys stay good.
                if known.rows[place].set !== set { known.rows[place].generation &+= 1 }
                known.rows[place].set = set
                known.rows[place].failure = nil
                known.rows[place].fetched = now
                known.rows[place].fetchedUnixNanoseconds = unixNanoseconds
            case .failure(let error):
                known.rows[place].failure = error.reason
                known.rows[place].failures &+= 1
            }
        }
    }
}

/// Why keys could not be fetched, for people.
public struct KeyFetchError: Error, Sendable {
    public var reason: String

    public init(_ reason: String) { self.reason = reason }
}
