internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Injected faults (semantics 2.6): a delay, an abort, or one after the other; drawn for each request, never retried.
extension ProxyWorker {
    /// Whether a fault takes the request over, at least for a while.
    mutating func injectFault(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ fault: FaultPolicy) -> Bool {
        guard fault.isActive else { return false }
        let delays = fault.delayShare > 0 && faultDraw.below(1_000_000) < fault.delayShare
        let aborts = fault.abortShare > 0 && fault.abort != .none && faultDraw.below(1_000_000) < fault.abortShare
        if aborts { unsafe exchange.pointee.flags.insert(.aborts) }
        if delays {
            handle.statistics.add(handle.statistics.faultDelays)
            unsafe exchange.pointee.record.flags.insert(.delayInjected)
            unsafe exchange.pointee.attemptWait = .faultDelay
            unsafe exchange.pointee.attemptTimer = timers.arm(Token(.attempt, id).rawValue, at: now + fault.delayNanoseconds)
            return true
        }
        guard aborts else { return false }
        abort(id, fault)
        return true
    }

    mutating func faultDelayEnded(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        unsafe touch(id, exchange)
        if unsafe exchange.pointee.flags.contains(.aborts) {
            abort(id, unsafe tables(exchange).actions(UInt32(exchange.pointee.route)).fault)
        } else {
            proceed(id, hasMore: false)
        }
    }

    private mutating func abort(_ id: SlotID, _ fault: FaultPolicy) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        handle.statistics.add(handle.statistics.faultAborts)
        // The CORS policy comes behind the fault and has no say in its answer.
        unsafe exchange.pointee.flags.subtract([.allowsOrigin, .isPreflight])
        if fault.abort == .grpc {
            unsafe exchange.pointee.localGRPCStatus = UInt8(clamping: fault.abortStatus)
            reply(id, 200, .faultFilterAbort, [.faultInjected], body: "fault filter abort", closes: false)
        } else {
            reply(id, fault.abortStatus, .faultFilterAbort, [.faultInjected], body: "fault filter abort", closes: false)
        }
    }
}
