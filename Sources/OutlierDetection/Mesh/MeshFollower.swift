public import Primitives

/// The collector's word to one proxy: what is ejected mesh-wide in the clusters that it reported.
public struct MeshWord: Hashable, Sendable {
    public struct Ejection: Hashable, Sendable {
        public var cluster: String
        public var endpoint: SocketEndpoint
        public var reason: EjectionReason
        public var nanosecondsLeft: UInt64

        public init(cluster: String, endpoint: SocketEndpoint, reason: EjectionReason, nanosecondsLeft: UInt64) {
            self.cluster = cluster
            self.endpoint = endpoint
            self.reason = reason
            self.nanosecondsLeft = nanosecondsLeft
        }
    }

    /// Which run of which collector.
    public var epoch: UInt64
    public var generation: UInt64
    public var ejections: [Ejection] = []
    /// The proxy has this generation; `ejections` is empty and says nothing.
    public var isUnchanged = false

    public init(epoch: UInt64, generation: UInt64) {
        self.epoch = epoch
        self.generation = generation
    }
}

/// What a proxy makes of the collector's words, and of their absence. Pure.
///
/// A collector that another one has replaced took its memory with it: the new one knows nothing of an endpoint that nobody asks because it
/// is ejected. So what the old one had ejected stays out for as long as the new one needs to hear of it from the proxies.
public struct MeshFollower: Sendable {
    public enum Change: Hashable, Sendable {
        case none
        /// These and no others are ejected mesh-wide.
        case ejections([MeshWord.Ejection])
    }

    /// An ejection of a collector that another one has replaced, and how long it is held. The sender's reports name it.
    public struct Held: Hashable, Sendable {
        public var ejection: MeshWord.Ejection
        public var until: MonotonicInstant
    }

    /// Windows of a cluster for which its ejections are held: one to hear, one to tell.
    public static let windowsHeld: UInt64 = 2
    /// Ejections that are held at most; those beyond end at once.
    public static let heldMax = 65_536

    /// Reports without an answer, after which local detection is alone.
    public static let intervalsMax: UInt64 = 3

    /// What the proxy has; zero = nothing, so that it is told everything.
    public private(set) var epoch: UInt64 = 0
    public private(set) var generation: UInt64 = 0
    /// No word for three intervals (or ever): local detection decides alone.
    public private(set) var isAlone = true
    /// Times that it became so.
    public private(set) var timesAlone: UInt64 = 0
    /// Words of a collector that another one had replaced before: there are two.
    public private(set) var returns: UInt64 = 0
    private var lastWord: MonotonicInstant?
    private var epochBefore: UInt64 = 0
    private var ejections: [MeshWord.Ejection] = []
    private var ejectionsHeard = MonotonicInstant(nanoseconds: 0)
    private var replaced: [Held] = []
    private let intervalNanoseconds: UInt64

    /// `intervalNanoseconds`: between two reports.
    public init(intervalNanoseconds: UInt64) { self.intervalNanoseconds = intervalNanoseconds }

    /// A word arrived. One without a change for somebody who has nothing asks for the whole next time. `windowNanoseconds`: of a cluster,
    /// by its name; 0 = it is not here.
    public mutating func take(_ word: MeshWord, now: MonotonicInstant, windowNanoseconds: (String) -> UInt64 = { _ in 0 }) -> Change {
        lastWord = now
        isAlone = false
        if word.isUnchanged { return .none }
        if word.epoch != epoch {
            if word.epoch == epochBefore { returns &+= 1 }
            replaced += ejections.map { Held(ejection: $0, until: heldUntil($0, now: now, windowNanoseconds($0.cluster))) }
            epochBefore = epoch
            epoch = word.epoch
        } else if word.generation < generation {
            // An answer that was overtaken by a later one.
            return .none
        }
        generation = word.generation
        ejections = word.ejections
        ejectionsHeard = now
        let named = Set(word.ejections.map { Place(cluster: $0.cluster, endpoint: $0.endpoint) })
        replaced.removeAll { held in
            held.until <= now || named.contains(Place(cluster: held.ejection.cluster, endpoint: held.ejection.endpoint))
        }
        if replaced.count > Self.heldMax { replaced.removeFirst(replaced.count - Self.heldMax) }
        return .ejections(
            word.ejections
                + held(now: now).map { held in
                    var ejection = held.ejection
                    ejection.nanosecondsLeft = held.until.nanoseconds(since: now)
                    return ejection
                })
    }

    private struct Place: Hashable {
        var cluster: String
        var endpoint: SocketEndpoint
    }

    /// Never beyond the end that the old collector gave it.
    private func heldUntil(_ ejection: MeshWord.Ejection, now: MonotonicInstant, _ windowNanoseconds: UInt64) -> MonotonicInstant {
        let windows = windowNanoseconds.multipliedReportingOverflow(by: Self.windowsHeld)
        let reports = intervalNanoseconds.multipliedReportingOverflow(by: Self.windowsHeld)
        guard windowNanoseconds > 0, !windows.overflow, !reports.overflow else { return now }
        return min(ejectionsHeard + ejection.nanosecondsLeft, now + windows.partialValue + reports.partialValue)
    }

    /// Those that are held now.
    public func held(now: MonotonicInstant) -> [Held] { replaced.filter { $0.until > now } }

    /// Endpoints or clusters are new here: the next word is to be whole.
    public mutating func forgetGeneration() { generation = 0 }

    /// Now and then. Returns `ejections([])` once when the collector has been silent for too long.
    public mutating func check(now: MonotonicInstant) -> Change {
        guard !isAlone, let lastWord else { return .none }
        let (patience, isBeyond) = intervalNanoseconds.multipliedReportingOverflow(by: Self.intervalsMax)
        guard !isBeyond, now.nanoseconds(since: lastWord) > patience else { return .none }
        isAlone = true
        timesAlone &+= 1
        generation = 0
        ejections = []
        replaced = []
        return .ejections([])
    }
}
