internal import EventLoops
internal import HTTP
public import HTTPService
internal import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// `TraceService/Export` over gRPC (OTLP specification, "OTLP/gRPC"; semantics 2.12), and `Health/Check` for those who probe before they
/// send.
///
/// A message is collected as it comes, so that one too large is refused by its first five bytes, and answered as over HTTP: when the sink
/// has stored it. What may be tried again is UNAVAILABLE with a delay; everything else is final.
extension Receivers {
    static let exportPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    static let healthPath = "/grpc.health.v1.Health/Check"

    /// What to do with the body of a gRPC call; nil for any other request.
    public func open(_ request: borrowing ServiceRequest) -> ServiceOpening? {
        let type = mediaType(request.header("content-type"))
        let isKnown = request.path == Self.exportPath || request.path == Self.healthPath
        let isGRPC = type == "application/grpc" || type.hasPrefix("application/grpc+")
        guard isKnown || isGRPC else { return nil }
        if !isGRPC {
            otlpGRPC.unsupported.add()
            let what = type.isEmpty ? "a request without Content-Type" : "Content-Type \(type.prefix(64))"
            return .respond(.text(415, "\(what) is not supported here; gRPC sends application/grpc. OTLP over HTTP goes to /v1/traces"))
        }
        if !request.isHTTP2 {
            otlpGRPC.unsupported.add()
            return .respond(.text(505, "gRPC needs HTTP/2; OTLP over HTTP/1.1 goes to /v1/traces"))
        }
        if let refusal = refusal(request, type, isKnown: isKnown) {
            otlpGRPC.unsupported.add()
            return .respond(refusal)
        }
        let coding = (request.header("grpc-encoding") ?? "").lowercased()
        let deadline = request.header("grpc-timeout").flatMap { GRPCFields.timeoutNanoseconds($0) }.map { SystemClock.monotonicNow() + $0 }
        let reader = request.path == Self.healthPath
            ? UnaryCallReader(self, coding: coding, deadline: deadline) { receivers, call, _ in receivers.checkHealth(call) }
            : UnaryCallReader(self, coding: coding, deadline: deadline) { receivers, call, responder in receivers.export(call, responder) }
        return .read(reader)
    }

    private func refusal(_ request: borrowing ServiceRequest, _ type: String, isKnown: Bool) -> ServiceResponse? {
        guard request.method == "POST" else { return .text(405, "gRPC calls are sent with POST", headers: [("Allow", "POST")]) }
        if !isKnown {
            let served = "\(Self.exportPath.dropFirst()) and \(Self.healthPath.dropFirst())"
            return .grpc(.unimplemented, "\(request.path.prefix(200)) is not served here; \(served) are")
        }
        guard type == "application/grpc" || type == "application/grpc+proto" else {
            return .grpc(.unimplemented, "Content-Type \(type.prefix(64)) is not supported; send application/grpc+proto")
        }
        let coding = (request.header("grpc-encoding") ?? "").lowercased()
        guard ["", "identity", "gzip"].contains(coding) else {
            return .grpc(
                .unimplemented, "grpc-encoding \(coding.prefix(64)) is not supported; gzip and identity are",
                fields: [("grpc-accept-encoding", "identity,gzip")])
        }
        return nil
    }

    // MARK: Calls

    private func export(_ call: UnaryCallReader, _ responder: Responder) -> ServiceOutcome {
        let limit = limits.bodyBytesMax
        let result = unsafe call.message.withUnsafeBytes { bytes in
            unsafe takeOTLP(bytes, coding: call.isCompressed ? "gzip" : "", .protobuf, otlpGRPC) { result in
                responder.respond(Self.grpcResponse(result, bytesMax: limit))
            }
        }
        return result.map { .respond(Self.grpcResponse($0, bytesMax: limit)) } ?? .later
    }

    private static func grpcResponse(_ result: OTLPResult, bytesMax: Int) -> ServiceResponse {
        switch result {
        case .stored(let outcome):
            var message: [UInt8] = []
            OTLPResponse.appendTraceSuccess(outcome, .protobuf, to: &message)
            return .grpc(message: message)
        case .malformed(let reason): return .grpc(.invalidArgument, reason)
        case .unreadable(.tooLarge): return tooLarge(bytesMax)
        case .unreadable: return .grpc(.invalidArgument, "the message is not the gzip that its compressed-flag says")
        case .rejected(let rejection): return unavailable(text(rejection), afterSeconds: retryAfterSeconds(rejection))
        }
    }

    /// Without RetryInfo: the same message would be too large again (OTLP specification, throttling).
    fileprivate static func tooLarge(_ bytesMax: Int) -> ServiceResponse {
        .grpc(.resourceExhausted, "the message is too large; \(bytesMax) bytes are accepted after decompression: send smaller batches")
    }

    fileprivate static func unavailable(_ reason: String, afterSeconds seconds: UInt64) -> ServiceResponse {
        .grpc(
            .unavailable, reason,
            fields: [
                ("grpc-status-details-bin", OTLPResponse.retryableStatus(code: 14, message: reason, retryAfterSeconds: seconds)),
                ("google.rpc.retryinfo-bin", OTLPResponse.retryDelay(retryAfterSeconds: seconds)),
            ])
    }

    /// `HealthCheckRequest { string service = 1; }` to `HealthCheckResponse { status = 1; }`, 1 = SERVING (gRPC health checking
    /// protocol). Whether the store takes spans now is another question, which an answer to spans tells in time.
    private func checkHealth(_ call: UnaryCallReader) -> ServiceOutcome {
        let services = ["", "opentelemetry.proto.collector.trace.v1.TraceService", "grpc.health.v1.Health"]
        let asked: String? = call.message.isEmpty
            ? ""
            : call.message[0] == 1 << 3 | 2 && call.message.count > 1 && Int(call.message[1]) == call.message.count - 2
                ? String(decoding: call.message.dropFirst(2), as: UTF8.self) : nil
        guard let asked, services.contains(asked) else {
            return .respond(.grpc(.notFound, "no such service; \(services[1]) is served here"))
        }
        return .respond(.grpc(message: [1 << 3, 1]))
    }
}

/// Collects the message of one call. On the server's thread.
private final class UnaryCallReader: ServiceBodyReader {
    private let receivers: Receivers
    private let coding: String
    private let deadline: MonotonicInstant?
    private let call: (Receivers, UnaryCallReader, Responder) -> ServiceOutcome
    private var framing: GRPCFraming
    fileprivate var message: [UInt8]

    init(
        _ receivers: Receivers, coding: String, deadline: MonotonicInstant?,
        _ call: @escaping (Receivers, UnaryCallReader, Responder) -> ServiceOutcome
    ) {
        self.receivers = receivers
        self.coding = coding
        self.deadline = deadline
        self.call = call
        framing = GRPCFraming(bytesMax: receivers.limits.bodyBytesMax)
        message = receivers.messages.take()
    }

    deinit {
        // Its only owner then, so that emptying it makes no copy.
        var buffer: [UInt8] = []
        swap(&buffer, &message)
        receivers.messages.give(consume buffer)
    }

    fileprivate var isCompressed: Bool { framing.isCompressed && coding == "gzip" }
    var heldBytes: Int { message.count }

    func receive(_ bytes: UnsafeRawBufferPointer) -> ServiceResponse? {
        receivers.otlpGRPC.bytes.add(bytes.count)
        var offset = 0
        while offset < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            let (consumed, event) = unsafe framing.next(rest)
            offset += consumed
            switch event {
            case .needMore: return nil
            case .message(let count):
                if message.isEmpty, let length = framing.length {
                    // One allocation of the right size, but never on the word of a client that has sent next to nothing.
                    message.reserveCapacity(min(Int(length), 1 << 20))
                }
                unsafe message.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
                offset += count
            case .refused(let fault): return refusal(fault)
            }
        }
        return nil
    }

    private func refusal(_ fault: GRPCFrameFault) -> ServiceResponse {
        switch fault {
        case .tooLarge:
            receivers.otlpGRPC.tooLarge.add()
            return Receivers.tooLarge(receivers.limits.bodyBytesMax)
        case .reservedFlag(let flag):
            receivers.otlpGRPC.malformed.add()
            return .grpc(.invalidArgument, "the compressed-flag of the message is \(flag); 0 and 1 are accepted")
        case .secondMessage:
            receivers.otlpGRPC.malformed.add()
            return .grpc(.invalidArgument, "more than one message; this call takes one")
        }
    }

    func end(_ responder: Responder) -> ServiceOutcome {
        guard framing.isComplete else {
            receivers.otlpGRPC.malformed.add()
            return .respond(.grpc(.invalidArgument, "the body ended within the message"))
        }
        if framing.isCompressed && coding != "gzip" {
            receivers.otlpGRPC.malformed.add()
            return .respond(.grpc(.internalError, "the message is flagged as compressed, and grpc-encoding names no coding"))
        }
        if let deadline, deadline <= SystemClock.monotonicNow() {
            receivers.otlpGRPC.expired.add()
            return .respond(.grpc(.deadlineExceeded, "the message came after its deadline; nothing of it was kept"))
        }
        return call(receivers, self, responder)
    }

    func refuse(_ reason: String, isRetryable: Bool) -> ServiceResponse {
        if isRetryable {
            receivers.otlpGRPC.overloaded.add()
            return Receivers.unavailable(reason, afterSeconds: 1)
        }
        receivers.otlpGRPC.tooLarge.add()
        return Receivers.tooLarge(receivers.limits.bodyBytesMax)
    }
}
