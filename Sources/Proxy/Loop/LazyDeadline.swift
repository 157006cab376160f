internal import Primitives

/// A deadline that moves often: moving it later costs a store, and the timer finds out when it fires.
struct LazyDeadline: BitwiseCopyable {
    private(set) var at = MonotonicInstant.distantFuture
    private var timer = TimerWheel.TimerID.none
    private var timerAt = MonotonicInstant.distantFuture

    @inline(__always)
    mutating func set(_ loop: inout WorkerLoop, _ kind: LoopToken.Kind, _ id: SlotID, after nanoseconds: UInt64) {
        at = loop.now + nanoseconds
        if at < timerAt { arm(&loop, kind, id) }
    }

    private mutating func arm(_ loop: inout WorkerLoop, _ kind: LoopToken.Kind, _ id: SlotID) {
        loop.cancel(&timer)
        timerAt = at
        timer = loop.arm(kind, id, at: at)
    }

    /// The timer has come. True = so has the deadline; otherwise it is awaited further.
    mutating func hasCome(_ loop: inout WorkerLoop, _ kind: LoopToken.Kind, _ id: SlotID) -> Bool {
        timer = .none
        timerAt = .distantFuture
        if loop.now >= at { return true }
        if at != .distantFuture { arm(&loop, kind, id) }
        return false
    }

    mutating func cancel(_ loop: inout WorkerLoop) {
        loop.cancel(&timer)
        timerAt = .distantFuture
        at = .distantFuture
    }
}
