internal import HTTPService
internal import TelemetryModel
internal import TelemetryWire

/// `POST /api/v2/spans` with Zipkin's JSON or protobuf, `POST /api/v1/spans` with its first JSON (Zipkin API; semantics 2.11). Any server's
/// thread.
///
/// A bad span costs itself and not its batch: the good ones are stored before the answer, which is 400 with the reason of each of the
/// first bad ones. A body that is not what its Content-Type says is refused whole.
struct ZipkinReceiver: HTTPReceiver {
    private enum BodyEncoding {
        case json(ZipkinJSONDecoder.Version)
        case protobuf

        func read(_ body: UnsafeRawBufferPointer, into batch: inout SpanBatch) throws(ZipkinDecodeError) -> ZipkinDecodeOutcome {
            switch self {
            case .json(let version): unsafe try ZipkinJSONDecoder.decode(body, version: version, into: &batch)
            case .protobuf: unsafe try ZipkinProtobufDecoder.decode(body, into: &batch)
            }
        }
    }

    private let version: ZipkinJSONDecoder.Version
    private let intake: SignalIntake<SpanBatch>
    private let counters: ReceiverCounters
    private let bytesMax: Int

    init(_ version: ZipkinJSONDecoder.Version, _ intake: SignalIntake<SpanBatch>, _ counters: ReceiverCounters, bytesMax: Int) {
        self.version = version
        self.intake = intake
        self.counters = counters
        self.bytesMax = bytesMax
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        // The path of version 2 is with GET the query API's list of span names.
        if version == .v2, ["GET", "HEAD"].contains(ReceiverCrossOrigin.method(request)) { return nil }
        let crossOrigin = ReceiverCrossOrigin.headers(request)
        switch request.method {
        case "POST": break
        case "OPTIONS": return .respond(ReceiverCrossOrigin.preflight(request))
        default:
            counters.unsupported.add()
            let allow = version == .v2 ? "GET, POST, OPTIONS" : "POST, OPTIONS"
            return .respond(.text(405, "spans are sent with POST", headers: crossOrigin + [("Allow", allow)]))
        }
        counters.bytes.add(unsafe request.body.count)
        let type = MediaType.of(request.header("content-type"))
        guard let encoding = bodyEncoding(of: type) else {
            counters.unsupported.add()
            return .respond(.text(415, unsupportedText(type), headers: crossOrigin))
        }
        let coding = (request.header("content-encoding") ?? "").lowercased()
        let bytesMax = bytesMax
        @Sendable func response(_ result: IntakeResult<ZipkinDecodeOutcome>) -> ServiceResponse {
            switch result {
            // Once the accepted spans are stored: 202, or 400 with what was refused and why.
            case .stored(let outcome):
                return outcome.refusedSpans > 0
                    ? .text(400, outcome.message, headers: crossOrigin) : ServiceResponse(status: 202, headers: crossOrigin)
            case .malformed(let reason): return .text(400, reason, headers: crossOrigin)
            case .unreadable(let error):
                return .text(error.status, error.explanation(bytesMax: bytesMax, items: "spans"), headers: crossOrigin)
            case .rejected(let rejection):
                return .text(503, rejection.text, headers: crossOrigin + [("Retry-After", "\(rejection.retryAfterSeconds)")])
            }
        }
        let result = unsafe intake.take(
            request.body, coding: coding, counters,
            decode: { body, batch throws(ZipkinDecodeError) in unsafe try encoding.read(body, into: &batch) },
            answer: { responder.respond(response($0)) })
        return result.map { .respond(response($0)) } ?? .later
    }

    /// Any type that is not named here is taken for JSON, as Zipkin does: old senders say `text/plain` or nothing.
    private func bodyEncoding(of type: String) -> BodyEncoding? {
        switch type {
        case "application/x-protobuf", "application/protobuf": version == .v2 ? .protobuf : nil
        case "application/x-thrift", "application/vnd.apache.thrift.binary": nil
        default: .json(version)
        }
    }

    private func unsupportedText(_ type: String) -> String {
        switch version {
        case .v1:
            "\(type) is not supported here; send Zipkin v1 JSON as application/json, or v2 JSON or protobuf to /api/v2/spans"
        case .v2:
            "\(type) is not supported here; send Zipkin v2 JSON as application/json, or its protobuf as application/x-protobuf"
        }
    }
}
