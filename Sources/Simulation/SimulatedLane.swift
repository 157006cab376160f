internal import Primitives

/// One direction of a connection: bytes on their way, bytes that have arrived and wait to be read, and the end. In order, and bounded.
final class SimulatedLane {
    private let clock: SimulatedClock
    private let conditions: NetworkConditions
    private var arrived: [UInt8] = []
    private var inFlight = 0
    private var lastArrival = MonotonicInstant(nanoseconds: 0)
    /// The sender's end or reset has arrived.
    private(set) var isEnded = false
    private(set) var isReset = false
    /// The receiver takes nothing further: what comes is dropped.
    var isDeaf = false { didSet { onRoom() } }
    /// For the receiver: something has arrived. For the sender: there is room again.
    var onArrival: () -> Void = {}
    var onRoom: () -> Void = {}

    init(_ clock: SimulatedClock, _ conditions: NetworkConditions) {
        self.clock = clock
        self.conditions = conditions
    }

    /// Bytes that may be sent now.
    var room: Int { isDeaf ? .max : max(0, conditions.bufferBytes - inFlight - arrived.count) }
    /// Bytes that may be read now.
    var waiting: Int { arrived.count }

    /// Sends bytes, of which there is room for all.
    func send(_ bytes: [UInt8]) {
        if isDeaf { return }
        inFlight += bytes.count
        deliver { lane in
            lane.inFlight -= bytes.count
            if !lane.isReset, !lane.isDeaf { lane.arrived += bytes }
        }
    }

    func end() { deliver { $0.isEnded = true } }
    func reset() { deliver { $0.isReset = true } }

    /// Has something arrive behind everything that was sent before.
    private func deliver(_ body: @escaping (SimulatedLane) -> Void) {
        lastArrival = max(lastArrival, clock.now + conditions.latency(clock))
        clock.at(lastArrival) { [self] in
            body(self)
            onArrival()
        }
    }

    /// Reads up to `count` bytes.
    func take(_ count: Int) -> [UInt8] {
        let taken = Array(arrived.prefix(count))
        arrived.removeFirst(taken.count)
        if !taken.isEmpty { onRoom() }
        return taken
    }
}
