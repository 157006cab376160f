internal import Primitives
internal import Routing
internal import TelemetryModel

/// Injected faults (semantics 2.6): a delay, an abort, or one after the other; drawn for each request, never retried. They come before all
/// else that the rule says, as in Istio's chain of filters.
enum FaultInjection {
    @inline(__always)
    static func injectDelay(
        _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) -> StepOutcome {
        guard request.plan.route >= 0 else { return .go }
        let fault = epoch.tables.actions(UInt32(request.plan.route)).fault
        return fault.isActive ? delay(&request, fault, &context, &loop) : .go
    }

    private static func delay(
        _ request: inout Request, _ fault: FaultPolicy, _ context: inout RequestContext, _ loop: inout WorkerLoop
    ) -> StepOutcome {
        let delays = fault.delayShare > 0 && context.draws.fault.below(1_000_000) < fault.delayShare
        let aborts = fault.abortShare > 0 && fault.abort != .none && context.draws.fault.below(1_000_000) < fault.abortShare
        if aborts { request.plan.effects.insert(.aborts) }
        guard delays else { return .go }
        loop.countEvent { $0.add($0.faultDelays) }
        request.log.record.flags.insert(.delayInjected)
        return .wait(fault.delayNanoseconds)
    }

    @inline(__always)
    static func injectAbort(_ request: inout Request, _ loop: inout WorkerLoop, _ epoch: inout Epoch) -> StepOutcome {
        request.plan.effects.contains(.aborts) ? abort(&request, &loop, &epoch) : .go
    }

    private static func abort(_ request: inout Request, _ loop: inout WorkerLoop, _ epoch: inout Epoch) -> StepOutcome {
        let fault = epoch.tables.actions(UInt32(request.plan.route)).fault
        loop.countEvent { $0.add($0.faultAborts) }
        // The CORS policy comes behind the fault and has no say in its answer.
        request.plan.effects.subtract([.allowsOrigin, .isPreflight])
        let isGRPC = fault.abort == .grpc
        var answer = LocalAnswer(isGRPC ? 200 : fault.abortStatus, .faultFilterAbort, [.faultInjected], body: "fault filter abort")
        if isGRPC { answer.grpcStatus = UInt8(clamping: fault.abortStatus) }
        return .answer(answer)
    }
}
