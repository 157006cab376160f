internal import HTTPService
internal import TelemetryModel
internal import TelemetryWire

/// `POST /api/v2/spans` (Zipkin v2 API; semantics 2.11).
///
/// A bad span costs itself and not its batch: the good ones are stored before the answer, which is 400 with the reason of each of the
/// first bad ones. A body that is not JSON is refused whole.
extension Receivers {
    func handleZipkin(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        switch request.method {
        case "POST": break
        case "OPTIONS": return .respond(Self.preflight(request))
        default:
            zipkin.unsupported.add()
            return .respond(zipkinText(405, "spans are sent with POST", [("Allow", "GET, POST, OPTIONS")]))
        }
        zipkin.bytes.add(unsafe request.body.count)
        let type = mediaType(request.header("content-type"))
        if type == "application/x-protobuf" || type == "application/x-thrift" || type == "application/protobuf" {
            zipkin.unsupported.add()
            return .respond(zipkinText(415, "\(type) is not supported; send Zipkin v2 JSON with Content-Type: application/json"))
        }
        var batch = batches.take()
        let outcome: ZipkinDecodeOutcome
        do throws(BodyError) {
            let result = unsafe try withBody(request) { body -> Result<ZipkinDecodeOutcome, ZipkinDecodeError> in
                do throws(ZipkinDecodeError) {
                    return .success(unsafe try ZipkinJSONDecoder.decode(body, into: &batch))
                } catch {
                    return .failure(error)
                }
            }
            switch result {
            case .success(let decoded): outcome = decoded
            case .failure(let failure):
                batches.give(batch)
                zipkin.malformed.add()
                return .respond(zipkinText(400, failure.description))
            }
        } catch {
            batches.give(batch)
            zipkin.count(error)
            return .respond(zipkinText(error.status, error.text(bytesMax: limits.bodyBytesMax)))
        }
        zipkin.spansInvalid.add(outcome.refusedSpans)
        if batch.spans.isEmpty {
            batches.give(batch)
            zipkin.requests(stored: 0, refused: outcome.refusedSpans).add()
            return .respond(Self.zipkinAnswer(outcome))
        }
        submit(batch, zipkin, request: zipkin.requests(stored: outcome.acceptedSpans, refused: outcome.refusedSpans)) { rejection in
            guard let rejection else {
                responder.respond(Self.zipkinAnswer(outcome))
                return
            }
            responder.respond(
                .text(503, Self.text(rejection), headers: [Self.allowOrigin, ("Retry-After", Self.retryAfterSeconds(rejection))]))
        }
        return .later
    }

    /// The first version of the API, which current tracers no longer speak.
    func handleZipkinV1(_ request: borrowing ServiceRequest) -> ServiceOutcome {
        if request.method == "OPTIONS" { return .respond(Self.preflight(request)) }
        zipkin.unsupported.add()
        guard request.method == "POST" else {
            return .respond(zipkinText(405, "spans are sent with POST, to /api/v2/spans", [("Allow", "POST, OPTIONS")]))
        }
        return .respond(zipkinText(400, "Zipkin v1 is not supported; send Zipkin v2 JSON to /api/v2/spans"))
    }

    /// Once the accepted spans are stored: 202, or 400 with what was refused and why.
    private static func zipkinAnswer(_ outcome: ZipkinDecodeOutcome) -> ServiceResponse {
        guard outcome.refusedSpans > 0 else { return zipkinAccepted }
        return .text(400, outcome.message, headers: [allowOrigin])
    }

    private static let zipkinAccepted = ServiceResponse(status: 202, headers: [allowOrigin])

    private func zipkinText(_ status: UInt16, _ text: String, _ headers: [(name: String, value: String)] = []) -> ServiceResponse {
        .text(status, text, headers: [Self.allowOrigin] + headers)
    }

    /// `application/json` of `Application/JSON; charset=utf-8`; empty when there is none.
    func mediaType(_ header: String?) -> String {
        guard let first = header?.split(separator: ";", maxSplits: 1, omittingEmptySubsequences: false).first else { return "" }
        return first.filter { $0 != " " && $0 != "\t" }.lowercased()
    }
}
