internal import HTTPService
internal import TelemetryModel
internal import TelemetryWire

/// `POST /api/v1/write`: Prometheus' remote write 1.0 and 2.0 (prometheus.io/docs/specs/prw). Any server's thread.
///
/// Answered with 204 once the samples are stored. A body that is not right is refused whole with 400, which senders do not try again; a
/// store that cannot take it now answers 503, which they do.
struct RemoteWriteReceiver: HTTPReceiver {
    private let intake: SignalIntake<SeriesBatch>
    private let counters: ReceiverCounters
    private let bytesMax: Int

    init(_ intake: SignalIntake<SeriesBatch>, _ statistics: CollectorStatistics, bytesMax: Int) {
        self.intake = intake
        counters = ReceiverCounters("remote_write", signal: .metrics, statistics)
        self.bytesMax = bytesMax
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard request.method == "POST" else {
            counters.unsupported.add()
            return .respond(.text(405, "samples are sent with POST", headers: [("Allow", "POST")]))
        }
        counters.bytes.add(unsafe request.body.count)
        guard let version = Self.version(request.header("content-type") ?? "") else {
            counters.unsupported.add()
            let text = "expected Content-Type application/x-protobuf, with proto=prometheus.WriteRequest or "
                + "proto=io.prometheus.write.v2.Request"
            return .respond(.text(415, text))
        }
        guard (request.header("content-encoding") ?? "snappy").lowercased() == "snappy" else {
            counters.unsupported.add()
            return .respond(.text(415, "expected Content-Encoding snappy, in its block format"))
        }
        let bytesMax = bytesMax
        let none = version == .v2 ? RemoteWriteOutcome().headers : []
        @Sendable func response(_ result: IntakeResult<RemoteWriteOutcome>) -> ServiceResponse {
            switch result {
            case .stored(let outcome):
                let written = version == .v2 ? outcome.headers : []
                return outcome.refusedItems == 0
                    ? ServiceResponse(status: 204, headers: written) : .text(400, outcome.message, headers: written)
            case .malformed(let reason): return .text(400, "not a remote-write request: \(reason)", headers: none)
            case .unreadable(let error):
                return .text(error.status, error.explanation(bytesMax: bytesMax, items: "samples"), headers: none)
            case .rejected(let rejection):
                return .text(503, rejection.text, headers: none + [("Retry-After", "\(rejection.retryAfterSeconds)")])
            }
        }
        let result = unsafe intake.take(
            request.body, coding: "snappy", counters,
            decode: { body, batch throws(RemoteWriteFault) in unsafe try Self.decodeSamples(body, version, into: &batch) },
            answer: { responder.respond(response($0)) })
        return result.map { .respond(response($0)) } ?? .later
    }

    private static func decodeSamples(
        _ body: UnsafeRawBufferPointer, _ version: RemoteWriteDecoder.Version, into batch: inout SeriesBatch
    ) throws(RemoteWriteFault) -> RemoteWriteOutcome {
        var outcome = RemoteWriteOutcome()
        var points = MetricPoints()
        var refusedExemplars = 0
        outcome.counts = unsafe try RemoteWriteDecoder.decode(body, version) { point in
            guard let reason = points.take(point, into: &batch) else { return }
            guard point.hasValue else {
                refusedExemplars += point.exemplars.count
                return
            }
            if case .histogram = point.value { outcome.refusedHistograms += 1 } else { outcome.refusedSamples += 1 }
            if outcome.firstReason == nil { outcome.firstReason = reason }
        }
        outcome.counts.exemplars -= refusedExemplars
        outcome.counts.droppedExemplars += refusedExemplars
        return outcome
    }

    /// Without `proto` it is 1.0 (remote write 2.0, "Protobuf Message").
    private static func version(_ type: String) -> RemoteWriteDecoder.Version? {
        let parts = type.split(separator: ";").map { part in part.filter { $0 != " " } }
        guard parts.isEmpty || parts[0].lowercased() == "application/x-protobuf" else { return nil }
        switch parts.dropFirst().first(where: { $0.hasPrefix("proto=") }) {
        case nil, "proto=prometheus.WriteRequest": return .v1
        case "proto=io.prometheus.write.v2.Request": return .v2
        default: return nil
        }
    }
}

/// What a body of remote write came to.
struct RemoteWriteOutcome: DecodeOutcome {
    var counts = RemoteWriteDecoder.Counts()
    var refusedSamples = 0
    var refusedHistograms = 0
    /// Why the first was refused.
    var firstReason: String?

    var acceptedItems: Int { counts.samples + counts.histograms - refusedItems }
    var refusedItems: Int { refusedSamples + refusedHistograms }
    var droppedParts: OTLPDroppedParts? { nil }
    var droppedExemplars: Int { counts.droppedExemplars }

    var message: String {
        "\(refusedItems) of \(counts.samples + counts.histograms) samples refused; the first because \(firstReason ?? "")"
    }

    /// Remote write 2.0, "Required Written Response Headers": with every answer, also when nothing was written.
    var headers: [(name: String, value: String)] {
        [
            ("X-Prometheus-Remote-Write-Samples-Written", "\(counts.samples - refusedSamples)"),
            ("X-Prometheus-Remote-Write-Histograms-Written", "\(counts.histograms - refusedHistograms)"),
            ("X-Prometheus-Remote-Write-Exemplars-Written", "\(counts.exemplars)"),
        ]
    }
}
