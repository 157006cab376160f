internal import OutlierDetection
internal import Primitives

/// One try at an endpoint, from the choice of the endpoint to its outcome, and what the tries before it leave to be known.
struct Attempt: BitwiseCopyable {
    /// The connection it has; none before it has one, and from its end on.
    var upstream = SlotID.none
    /// HTTP/2: its stream.
    var stream: Int32 = 0
    /// Index of the pool whose `active` it counts in; -1 = none.
    var pool = -1
    /// -1 = none.
    var endpointIndex: Int32 = -1
    /// Where it is counted among all workers.
    var cluster = ClusterSlot.none
    var endpoint = EndpointSlot.none
    var began = MonotonicInstant(nanoseconds: 0)
    /// It has no established connection, and is counted so.
    var isPending = false
    /// In its pool's line for a connection.
    var isWaiting = false
    /// On a connection that has served before.
    var isOnReusedConnection = false
    /// Body bytes of an HTTP/2 endpoint that it may not yet replace by new ones.
    var unconsumed = 0
    /// Tries before this one, but for that on a stale connection.
    var retries: UInt16 = 0
    /// A try on a stale connection was replaced.
    var wasReplaced = false
    /// Where a retry is counted, and whether this one is.
    var retryCluster = ClusterSlot.none
    var holdsRetry = false
    /// Endpoints tried before, the last few, and the priorities they were of; 31 and beyond are one.
    private var tried = InlineArray<4, Int32>(repeating: -1)
    var triedPriorities: UInt32 = 0

    /// Whether it has this stream of this connection; before it has a stream, whichever.
    func isOn(_ upstream: SlotID, stream: Int32) -> Bool {
        self.upstream == upstream && (self.stream == 0 || self.stream == stream)
    }

    func hasTried(_ endpoint: Int) -> Bool {
        if retries == 0 { return false }
        for index in 0..<4 where tried[index] == Int32(clamping: endpoint) { return true }
        return false
    }

    mutating func noteTried() {
        if endpointIndex >= 0 { tried[Int(retries) & 3] = endpointIndex }
    }
}
