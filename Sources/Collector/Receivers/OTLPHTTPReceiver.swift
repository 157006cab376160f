internal import HTTPService
internal import TelemetryWire

/// One signal's path over OTLP/HTTP: `POST /v1/traces` and the like (semantics 2.12). Any server's thread.
struct OTLPHTTPReceiver: HTTPReceiver {
    private let service: any OTLPService
    private let bytesMax: Int

    init(_ service: any OTLPService, bytesMax: Int) {
        self.service = service
        self.bytesMax = bytesMax
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        let crossOrigin = ReceiverCrossOrigin.headers(request)
        let type = MediaType.of(request.header("content-type"))
        // Errors are in the request's encoding; in JSON where it has none that we know.
        let encoding: OTLPResponse.Encoding = type == "application/x-protobuf" || type == "application/protobuf" ? .protobuf : .json
        switch request.method {
        case "POST": break
        case "OPTIONS": return .respond(ReceiverCrossOrigin.preflight(request))
        default:
            service.http.unsupported.add()
            let allow = crossOrigin + [("Allow", "POST, OPTIONS")]
            return .respond(Self.refusal(405, 12, "\(service.noun) are sent with POST", encoding, allow))
        }
        service.http.bytes.add(unsafe request.body.count)
        guard encoding == .protobuf || type == "application/json" else {
            service.http.unsupported.add()
            let what = type.isEmpty ? "a request without Content-Type" : "Content-Type \(type.prefix(64))"
            return .respond(
                Self.refusal(415, 12, "\(what) is not supported; send application/x-protobuf or application/json", encoding, crossOrigin))
        }
        let coding = (request.header("content-encoding") ?? "").lowercased()
        let bytesMax = bytesMax
        let items = service.items
        @Sendable func response(_ result: OTLPResult) -> ServiceResponse {
            switch result {
            case .stored(let message):
                return ServiceResponse(status: 200, contentType: Self.contentType(encoding), headers: crossOrigin, body: message)
            case .malformed(let reason): return Self.refusal(400, 3, reason, encoding, crossOrigin)
            case .unreadable(let error):
                let code: Int32 = error.status == 413 ? 8 : error.status == 415 ? 12 : 3
                return Self.refusal(error.status, code, error.explanation(bytesMax: bytesMax, items: items), encoding, crossOrigin)
            case .rejected(let rejection):
                return Self.refusal(
                    503, 14, rejection.text, encoding, crossOrigin + [("Retry-After", "\(rejection.retryAfterSeconds)")])
            }
        }
        let result = unsafe service.take(request.body, coding: coding, encoding, service.http) { responder.respond(response($0)) }
        return result.map { .respond(response($0)) } ?? .later
    }

    private static func contentType(_ encoding: OTLPResponse.Encoding) -> String {
        encoding == .protobuf ? "application/x-protobuf" : "application/json"
    }

    /// `code` is the gRPC status code that says the same as `status`.
    private static func refusal(
        _ status: UInt16, _ code: Int32, _ message: String, _ encoding: OTLPResponse.Encoding, _ headers: [(name: String, value: String)]
    ) -> ServiceResponse {
        var body: [UInt8] = []
        OTLPResponse.appendStatus(code: code, message: message, encoding, to: &body)
        return ServiceResponse(status: status, contentType: contentType(encoding), headers: headers, body: body)
    }
}
