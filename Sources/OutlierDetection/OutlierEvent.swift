public import Primitives

/// An ejection or its end, as people are told about it.
public struct OutlierEvent: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// `ejections`: of this endpoint so far, this one included.
        case ejected(EjectionReason, durationNanoseconds: UInt64, until: MonotonicInstant, ejections: UInt32)
        case unejected(UnejectionCause)
        /// By the collector, and the end of that. An endpoint may be ejected by both at once.
        case ejectedByMesh(EjectionReason, until: MonotonicInstant)
        case unejectedByMesh(UnejectionCause)
    }

    /// Position in the endless sequence of events; gaps in what a reader saw are events that the log no longer has.
    public var sequence: UInt64
    public var at: MonotonicInstant
    public var cluster: ClusterKey
    public var endpoint: SocketEndpoint
    public var slot: EndpointSlot
    public var kind: Kind
}

/// The last events, a bounded number.
struct OutlierEventLog {
    static let eventsMax = 256

    private var ring: [OutlierEvent] = []
    /// Events ever logged.
    private(set) var logged: UInt64 = 0

    mutating func append(
        _ kind: OutlierEvent.Kind, at now: MonotonicInstant, cluster: ClusterKey, slot: EndpointSlot, endpoint: SocketEndpoint
    ) {
        let event = OutlierEvent(sequence: logged, at: now, cluster: cluster, endpoint: endpoint, slot: slot, kind: kind)
        if ring.count < Self.eventsMax { ring.append(event) } else { ring[Int(logged % UInt64(Self.eventsMax))] = event }
        logged += 1
    }

    /// Oldest first.
    var events: [OutlierEvent] { ring.sorted { $0.sequence < $1.sequence } }
}
