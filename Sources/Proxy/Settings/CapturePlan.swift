internal import TelemetryModel

/// What the records of a configuration hold: the header names as bytes, and per side whether there is a record at all.
struct CapturePlan: ~Copyable {
    let requestHeaders: [[UInt8]]
    let responseHeaders: [[UInt8]]
    let outbound: TelemetryPlan.Side
    let inbound: TelemetryPlan.Side
    let option: TraceContextOption
    let uses128BitTraceIDs: Bool

    init(_ plan: TelemetryPlan) {
        requestHeaders = plan.capture.requestHeaders.map { Array($0.utf8) }
        responseHeaders = plan.capture.responseHeaders.map { Array($0.utf8) }
        outbound = plan.outbound
        inbound = plan.inbound
        option = plan.contextOption
        uses128BitTraceIDs = plan.uses128BitTraceIDs
    }

    func side(_ side: ProxySide) -> TelemetryPlan.Side { side == .outbound ? outbound : inbound }
}
