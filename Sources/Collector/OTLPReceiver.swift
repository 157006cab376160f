internal import HTTPService
internal import TelemetryModel
internal import TelemetryWire

/// What became of an export request.
enum OTLPResult: Sendable {
    case stored(OTLPDecodeOutcome)
    case malformed(String)
    case unreadable(Receivers.BodyError)
    case rejected(SpanRejection)
}

/// `POST /v1/traces` (OTLP/HTTP; semantics 2.12).
extension Receivers {
    func handleOTLP(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        let crossOrigin = ReceiverCrossOrigin.headers(request)
        let type = mediaType(request.header("content-type"))
        // Errors are in the request's encoding; in JSON where it has none that we know.
        let encoding: OTLPResponse.Encoding = type == "application/x-protobuf" || type == "application/protobuf" ? .protobuf : .json
        switch request.method {
        case "POST": break
        case "OPTIONS": return .respond(ReceiverCrossOrigin.preflight(request))
        default:
            otlp.unsupported.add()
            return .respond(Self.status(405, 12, "traces are sent with POST", encoding, crossOrigin + [("Allow", "POST, OPTIONS")]))
        }
        otlp.bytes.add(unsafe request.body.count)
        guard encoding == .protobuf || type == "application/json" else {
            otlp.unsupported.add()
            let what = type.isEmpty ? "a request without Content-Type" : "Content-Type \(type.prefix(64))"
            return .respond(
                Self.status(415, 12, "\(what) is not supported; send application/x-protobuf or application/json", encoding, crossOrigin))
        }
        let coding = (request.header("content-encoding") ?? "").lowercased()
        let limit = limits.bodyBytesMax
        @Sendable func response(_ result: OTLPResult) -> ServiceResponse {
            switch result {
            case .stored(let outcome): return Self.success(outcome, encoding, crossOrigin)
            case .malformed(let reason): return Self.status(400, 3, reason, encoding, crossOrigin)
            case .unreadable(let error):
                let code: Int32 = error.status == 413 ? 8 : error.status == 415 ? 12 : 3
                return Self.status(error.status, code, error.text(bytesMax: limit), encoding, crossOrigin)
            case .rejected(let rejection):
                return Self.status(
                    503, 14, Self.text(rejection), encoding, crossOrigin + [("Retry-After", "\(Self.retryAfterSeconds(rejection))")])
            }
        }
        let result = unsafe takeOTLP(request.body, coding: coding, encoding, otlp) { responder.respond(response($0)) }
        return result.map { .respond(response($0)) } ?? .later
    }

    /// Unpacks, decodes and hands over an `ExportTraceServiceRequest`, whatever brought it. What is known at once is returned; nil =
    /// `answer` will be called, on any thread, when the sink has the spans or has refused them.
    func takeOTLP(
        _ body: UnsafeRawBufferPointer, coding: String, _ encoding: OTLPResponse.Encoding, _ counters: ReceiverCounters,
        _ answer: @escaping @Sendable (OTLPResult) -> Void
    ) -> OTLPResult? {
        var batch = batches.take()
        let outcome: OTLPDecodeOutcome
        do throws(BodyError) {
            let result = unsafe try withUnpacked(body, coding: coding) { body -> Result<OTLPDecodeOutcome, OTLPDecodeError> in
                do throws(OTLPDecodeError) {
                    switch encoding {
                    case .protobuf: return .success(unsafe try OTLPTraceDecoder.decode(body, into: &batch))
                    case .json: return .success(unsafe try OTLPTraceDecoder.decodeJSON(body, into: &batch))
                    }
                } catch {
                    return .failure(error)
                }
            }
            switch result {
            case .success(let decoded): outcome = decoded
            case .failure(let failure):
                batches.give(batch)
                counters.malformed.add()
                return .malformed(failure.description)
            }
        } catch {
            batches.give(batch)
            counters.count(error)
            return .unreadable(error)
        }
        counters.spansInvalid.add(outcome.rejectedSpans)
        let dropped = outcome.dropped
        if batch.spans.isEmpty {
            batches.give(batch)
            counters.requests(stored: 0, refused: outcome.rejectedSpans).add()
            return .stored(outcome)
        }
        submit(batch, counters, request: counters.requests(stored: outcome.acceptedSpans, refused: outcome.rejectedSpans)) { rejection in
            if let rejection { return answer(.rejected(rejection)) }
            counters.attributesDropped.add(dropped.attributes)
            counters.eventsDropped.add(dropped.events)
            counters.linksDropped.add(dropped.links)
            counters.valuesDropped.add(dropped.values)
            answer(.stored(outcome))
        }
        return nil
    }

    private static func contentType(_ encoding: OTLPResponse.Encoding) -> String {
        encoding == .protobuf ? "application/x-protobuf" : "application/json"
    }

    private static func success(
        _ outcome: OTLPDecodeOutcome, _ encoding: OTLPResponse.Encoding, _ headers: [(name: String, value: String)]
    ) -> ServiceResponse {
        var body: [UInt8] = []
        OTLPResponse.appendTraceSuccess(outcome, encoding, to: &body)
        return ServiceResponse(status: 200, contentType: contentType(encoding), headers: headers, body: body)
    }

    /// `code` is the gRPC status code that says the same as `status`.
    private static func status(
        _ status: UInt16, _ code: Int32, _ message: String, _ encoding: OTLPResponse.Encoding, _ headers: [(name: String, value: String)]
    ) -> ServiceResponse {
        var body: [UInt8] = []
        OTLPResponse.appendStatus(code: code, message: message, encoding, to: &body)
        return ServiceResponse(status: status, contentType: contentType(encoding), headers: headers, body: body)
    }
}
