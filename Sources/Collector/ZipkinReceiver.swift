internal import HTTPService
internal import TelemetryModel
internal import TelemetryWire

/// `POST /api/v2/spans` with Zipkin's JSON or protobuf, `POST /api/v1/spans` with its first JSON (Zipkin API; semantics 2.11).
///
/// A bad span costs itself and not its batch: the good ones are stored before the answer, which is 400 with the reason of each of the
/// first bad ones. A body that is not what its Content-Type says is refused whole.
extension Receivers {
    private enum ZipkinEncoding {
        case json(ZipkinJSONDecoder.Version)
        case protobuf

        func decode(_ body: UnsafeRawBufferPointer, into batch: inout SpanBatch) throws(ZipkinDecodeError) -> ZipkinDecodeOutcome {
            switch self {
            case .json(let version): unsafe try ZipkinJSONDecoder.decode(body, version: version, into: &batch)
            case .protobuf: unsafe try ZipkinProtobufDecoder.decode(body, into: &batch)
            }
        }
    }

    func handleZipkin(
        _ request: borrowing ServiceRequest, _ version: ZipkinJSONDecoder.Version, _ responder: Responder
    ) -> ServiceOutcome {
        let crossOrigin = ReceiverCrossOrigin.headers(request)
        switch request.method {
        case "POST": break
        case "OPTIONS": return .respond(ReceiverCrossOrigin.preflight(request))
        default:
            zipkin.unsupported.add()
            let allow = version == .v2 ? "GET, POST, OPTIONS" : "POST, OPTIONS"
            return .respond(.text(405, "spans are sent with POST", headers: crossOrigin + [("Allow", allow)]))
        }
        zipkin.bytes.add(unsafe request.body.count)
        let type = mediaType(request.header("content-type"))
        guard let encoding = Self.zipkinEncoding(type, version) else {
            zipkin.unsupported.add()
            return .respond(.text(415, Self.unsupported(type, version), headers: crossOrigin))
        }
        var batch = batches.take()
        let outcome: ZipkinDecodeOutcome
        do throws(BodyError) {
            let result = unsafe try withBody(request) { body -> Result<ZipkinDecodeOutcome, ZipkinDecodeError> in
                do throws(ZipkinDecodeError) {
                    return .success(unsafe try encoding.decode(body, into: &batch))
                } catch {
                    return .failure(error)
                }
            }
            switch result {
            case .success(let decoded): outcome = decoded
            case .failure(let failure):
                batches.give(batch)
                zipkin.malformed.add()
                return .respond(.text(400, failure.description, headers: crossOrigin))
            }
        } catch {
            batches.give(batch)
            zipkin.count(error)
            return .respond(.text(error.status, error.text(bytesMax: limits.bodyBytesMax), headers: crossOrigin))
        }
        zipkin.spansInvalid.add(outcome.refusedSpans)
        if batch.spans.isEmpty {
            batches.give(batch)
            zipkin.requests(stored: 0, refused: outcome.refusedSpans).add()
            return .respond(Self.zipkinAnswer(outcome, crossOrigin))
        }
        submit(batch, zipkin, request: zipkin.requests(stored: outcome.acceptedSpans, refused: outcome.refusedSpans)) { rejection in
            guard let rejection else {
                responder.respond(Self.zipkinAnswer(outcome, crossOrigin))
                return
            }
            responder.respond(
                .text(503, Self.text(rejection), headers: crossOrigin + [("Retry-After", "\(Self.retryAfterSeconds(rejection))")]))
        }
        return .later
    }

    /// Any type that is not named here is taken for JSON, as Zipkin does: old senders say `text/plain` or nothing.
    private static func zipkinEncoding(_ type: String, _ version: ZipkinJSONDecoder.Version) -> ZipkinEncoding? {
        switch type {
        case "application/x-protobuf", "application/protobuf": version == .v2 ? .protobuf : nil
        case "application/x-thrift", "application/vnd.apache.thrift.binary": nil
        default: .json(version)
        }
    }

    private static func unsupported(_ type: String, _ version: ZipkinJSONDecoder.Version) -> String {
        switch version {
        case .v1:
            "\(type) is not supported here; send Zipkin v1 JSON as application/json, or v2 JSON or protobuf to /api/v2/spans"
        case .v2:
            "\(type) is not supported here; send Zipkin v2 JSON as application/json, or its protobuf as application/x-protobuf"
        }
    }

    /// Once the accepted spans are stored: 202, or 400 with what was refused and why.
    private static func zipkinAnswer(_ outcome: ZipkinDecodeOutcome, _ headers: [(name: String, value: String)]) -> ServiceResponse {
        guard outcome.refusedSpans > 0 else { return ServiceResponse(status: 202, headers: headers) }
        return .text(400, outcome.message, headers: headers)
    }

    /// `application/json` of `Application/JSON; charset=utf-8`; empty when there is none.
    func mediaType(_ header: String?) -> String {
        // As nearly everybody writes it. Taking it apart costs 5 us, and each request of a sender asks.
        if let header, header.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ";") && !(0x41...0x5A).contains($0) }) { return header }
        guard let first = header?.split(separator: ";", maxSplits: 1, omittingEmptySubsequences: false).first else { return "" }
        return first.filter { $0 != " " && $0 != "\t" }.lowercased()
    }
}
