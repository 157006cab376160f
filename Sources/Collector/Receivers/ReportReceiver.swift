internal import HTTPService
internal import OutlierDetection
internal import Primitives
internal import TLS
internal import TelemetryModel
internal import TelemetryWire

/// `POST /v1/report`: the metrics of another proxy (docs/formats/report.md). Any server's thread.
///
/// Its sender is whom its certificate names, where it shows one: nobody adds to another's counts, or passes them over by a number that is
/// too high. Answered once the report is stored. One that came before is acknowledged again and not counted again, so that its sender may
/// send it as often as it needs to.
struct ReportReceiver: HTTPReceiver {
    static let path = "/v1/report"

    private let intake: SignalIntake<SeriesBatch>
    private let counters: ReceiverCounters
    private let foreign: CollectorCounter
    private let bytesMax: Int
    private let reporters: Reporters
    private let say: @Sendable (String) -> Void
    /// Nil = nobody judges what senders saw of endpoints.
    private let outliers: OutlierService?

    init(
        _ intake: SignalIntake<SeriesBatch>, outliers: OutlierService?, _ reporters: Reporters, _ statistics: CollectorStatistics,
        bytesMax: Int, say: @escaping @Sendable (String) -> Void
    ) {
        self.outliers = outliers
        self.reporters = reporters
        self.say = say
        self.intake = intake
        counters = ReceiverCounters("report", signal: .metrics, statistics)
        foreign = statistics.counter(.reportsForeign)
        self.bytesMax = bytesMax
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard request.method == "POST" else {
            counters.unsupported.add()
            return .respond(.text(405, "reports are sent with POST", headers: [("Allow", "POST")]))
        }
        counters.bytes.add(unsafe request.body.count)
        let bytesMax = bytesMax
        let (outliers, reporters, say) = (outliers, reporters, say)
        @Sendable func response(_ result: IntakeResult<ReportOutcome>) -> ServiceResponse {
            switch result {
            case .stored(let outcome):
                if let report = outcome.report, let line = reporters.note(report, now: SystemClock.monotonicNow()) { say(line) }
                if let outliers, let seen = outcome.outliers {
                    // Once the report is stored: one that is not comes again.
                    let word = outliers.take(seen.report, known: seen.known, now: SystemClock.monotonicNow())
                    let body = OutlierAnswerCoding.encode(word, sequence: outcome.sequence)
                    return ServiceResponse(status: 200, contentType: OutlierAnswerCoding.contentType, body: body)
                }
                return ServiceResponse(status: 200, contentType: "application/json", body: Array("{\"sequence\":\(outcome.sequence)}".utf8))
            case .malformed(let reason): return .text(400, "not a report: \(reason)")
            case .unreadable(let error): return .text(error.status, error.explanation(bytesMax: bytesMax, items: "reports"))
            case .rejected(let rejection): return .text(503, rejection.text, headers: [("Retry-After", "\(rejection.retryAfterSeconds)")])
            }
        }
        let sender = VerifiedSender(
            identity: request.client?.identity?.principal, isKnown: request.client != nil, isAsked: request.asksClient)
        var refusal: String?
        let result = unsafe intake.take(
            request.body, coding: (request.header("content-encoding") ?? "").lowercased(), counters,
            decode: { body, batch throws(ReportRefusal) in
                do throws(ReportFault) {
                    try MetricsReport.decode(unsafe Array(body), into: &batch)
                } catch {
                    throw .fault(error)
                }
                refusal = sender.refusal(of: batch.report?.claimedPrincipal)
                if let refusal { throw .foreign(refusal) }
                batch.report?.principal = sender.identity
                var outcome = ReportOutcome(points: batch.points.count, sequence: batch.report?.sequence ?? 0)
                do throws(ReportFault) {
                    outcome.outliers = try Self.readEndpoints(of: batch.report, sender)
                } catch {
                    throw .fault(error)
                }
                batch.report?.outliers = []
                outcome.report = batch.report
                return outcome
            },
            answer: { responder.respond(response($0)) })
        if let refusal {
            foreign.add()
            return .respond(.text(403, refusal))
        }
        return result.map { .respond(response($0)) } ?? .later
    }

    /// What the sender saw of endpoints; nil = it does not say.
    private static func readEndpoints(of report: SeriesBatch.Report?, _ sender: VerifiedSender) throws(ReportFault) -> SeenEndpoints? {
        guard let report, !report.outliers.isEmpty else { return nil }
        var seen = MeshReport(reporter: report.sender, principal: sender.identity, sequence: report.sequence, periodNanoseconds: 0)
        let known = try OutlierReportCoding.decode(report.outliers, into: &seen)
        return SeenEndpoints(report: seen, known: known)
    }
}

/// What a connection's certificate says of the sender of its reports.
struct VerifiedSender {
    /// `cluster.local/ns/default/sa/reviews`; nil = the certificate names no workload, or there is none.
    var identity: String?
    /// A certificate was shown and believed.
    var isKnown: Bool
    /// The port asks for certificates.
    var isAsked: Bool

    /// Why a report is not this sender's, or nil. Where nobody is asked who it is, what a sender claims is as good as its counts.
    func refusal(of claim: String?) -> String? {
        if isKnown, identity == nil {
            return "the certificate names no workload, such as spiffe://cluster.local/ns/default/sa/reviews: whose report is this?"
        }
        if let identity, claim != identity { return "the report is of \(claim ?? "nobody"), and the certificate of \(identity)" }
        if isAsked, !isKnown, let claim { return "the report is of \(claim), and no certificate says so" }
        return nil
    }
}

/// Why a report is not taken.
private enum ReportRefusal: Error, CustomStringConvertible {
    case fault(ReportFault)
    case foreign(String)

    var description: String {
        switch self {
        case .fault(let fault): fault.description
        case .foreign(let reason): reason
        }
    }
}

private struct SeenEndpoints: Sendable {
    var report: MeshReport
    var known: OutlierReportCoding.Known
}

/// What a report came to.
private struct ReportOutcome: DecodeOutcome {
    var points: Int
    var sequence: UInt64
    var outliers: SeenEndpoints?
    /// Who sent it.
    var report: SeriesBatch.Report?

    var acceptedItems: Int { points }
    var refusedItems: Int { 0 }
    var droppedParts: OTLPDroppedParts? { nil }
}
