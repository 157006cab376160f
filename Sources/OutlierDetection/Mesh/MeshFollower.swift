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
public struct MeshFollower: Sendable {
    public enum Change: Hashable, Sendable {
        case none
        /// These and no others are ejected mesh-wide.
        case ejections([MeshWord.Ejection])
    }

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
    private let intervalNanoseconds: UInt64

    /// `intervalNanoseconds`: between two reports.
    public init(intervalNanoseconds: UInt64) { self.intervalNanoseconds = intervalNanoseconds }

    /// A word arrived. One without a change for somebody who has nothing asks for the whole next time.
    public mutating func take(_ word: MeshWord, now: MonotonicInstant) -> Change {
        lastWord = now
        isAlone = false
        if word.isUnchanged { return .none }
        if word.epoch != epoch {
            if word.epoch == epochBefore { returns &+= 1 }
            epochBefore = epoch
            epoch = word.epoch
        } else if word.generation < generation {
            // An answer that was overtaken by a later one.
            return .none
        }
        generation = word.generation
        return .ejections(word.ejections)
    }

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
        return .ejections([])
    }
}
