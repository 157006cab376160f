internal import HTTPService
internal import TelemetryModel
internal import TelemetryWire

/// `POST /v1/report`: the metrics of another proxy (docs/formats/report.md). Any server's thread.
///
/// Answered once the report is stored. One that came before is acknowledged again and not counted again, so that its sender may send it as
/// often as it needs to.
struct ReportReceiver: HTTPReceiver {
    static let path = "/v1/report"

    private let intake: SignalIntake<SeriesBatch>
    private let counters: ReceiverCounters
    private let bytesMax: Int

    init(_ intake: SignalIntake<SeriesBatch>, _ statistics: CollectorStatistics, bytesMax: Int) {
        self.intake = intake
        counters = ReceiverCounters("report", signal: .metrics, statistics)
        self.bytesMax = bytesMax
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard request.method == "POST" else {
            counters.unsupported.add()
            return .respond(.text(405, "reports are sent with POST", headers: [("Allow", "POST")]))
        }
        counters.bytes.add(unsafe request.body.count)
        let bytesMax = bytesMax
        @Sendable func response(_ result: IntakeResult<ReportOutcome>) -> ServiceResponse {
            switch result {
            case .stored(let outcome):
                return ServiceResponse(status: 200, contentType: "application/json", body: Array("{\"sequence\":\(outcome.sequence)}".utf8))
            case .malformed(let reason): return .text(400, "not a report: \(reason)")
            case .unreadable(let error): return .text(error.status, error.explanation(bytesMax: bytesMax, items: "reports"))
            case .rejected(let rejection): return .text(503, rejection.text, headers: [("Retry-After", "\(rejection.retryAfterSeconds)")])
            }
        }
        let result = unsafe intake.take(
            request.body, coding: (request.header("content-encoding") ?? "").lowercased(), counters,
            decode: { body, batch throws(ReportFault) in
                try MetricsReport.decode(unsafe Array(body), into: &batch)
                return ReportOutcome(points: batch.points.count, sequence: batch.report?.sequence ?? 0)
            },
            answer: { responder.respond(response($0)) })
        return result.map { .respond(response($0)) } ?? .later
    }
}

/// What a report came to.
private struct ReportOutcome: DecodeOutcome {
    var points: Int
    var sequence: UInt64

    var acceptedItems: Int { points }
    var refusedItems: Int { 0 }
    var droppedParts: OTLPDroppedParts? { nil }
}
