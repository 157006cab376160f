internal import EventLoops
internal import HTTP
internal import HTTPService
internal import Primitives
internal import TelemetryWire

/// OTLP over gRPC: `Export` of each signal's service (OTLP specification, "OTLP/gRPC"; semantics 2.12), and `Health/Check` for those who
/// probe before they send. Any server's thread.
///
/// A call is answered as over HTTP: when the sink has stored it. What may be tried again is UNAVAILABLE with a delay; everything else is
/// final.
final class OTLPGRPCReceiver: Sendable {
    static let healthService = "grpc.health.v1.Health"
    static let healthPath = "/\(healthService)/Check"

    private let services: [any OTLPService]
    /// By the path of its call.
    private let byPath: [String: any OTLPService]
    private let messages: MessagePool
    private let bytesMax: Int

    /// At least one service. What is no service's call counts with the first one's.
    init(_ services: [any OTLPService], _ limits: ReceiverLimits) {
        precondition(!services.isEmpty)
        self.services = services
        byPath = Dictionary(services.map { ($0.exportPath, $0) }, uniquingKeysWith: { first, _ in first })
        messages = MessagePool(countMax: limits.messagesKept, bytesMax: limits.messageBytesKept)
        bytesMax = limits.bodyBytesMax
    }

    /// What to do with the body of a gRPC call; nil for any other request.
    func open(_ request: borrowing ServiceRequest) -> ServiceOpening? {
        let type = MediaType.of(request.header("content-type"))
        let service = byPath[request.path]
        let isKnown = service != nil || request.path == Self.healthPath
        let isGRPC = type == "application/grpc" || type.hasPrefix("application/grpc+")
        guard isKnown || isGRPC else { return nil }
        let overHTTP = (service ?? services[0]).path
        let counters = (service ?? services[0]).grpc
        if !isGRPC {
            counters.unsupported.add()
            let what = type.isEmpty ? "a request without Content-Type" : "Content-Type \(type.prefix(64))"
            return .respond(
                .text(415, "\(what) is not supported here; gRPC sends application/grpc. OTLP over HTTP goes to \(overHTTP)"))
        }
        if !request.isHTTP2 {
            counters.unsupported.add()
            return .respond(.text(505, "gRPC needs HTTP/2; OTLP over HTTP/1.1 goes to \(overHTTP)"))
        }
        if let refusal = refusal(request, type, isKnown: isKnown) {
            counters.unsupported.add()
            return .respond(refusal)
        }
        let coding = (request.header("grpc-encoding") ?? "").lowercased()
        let deadline = request.header("grpc-timeout").flatMap { GRPCFields.timeoutNanoseconds($0) }.map { SystemClock.monotonicNow() + $0 }
        return .read(
            GRPCCallReader(counters, messages, bytesMax: bytesMax, coding: coding, deadline: deadline) { [self] call, responder in
                if let service { return export(service, call, responder) }
                return checkHealth(call)
            })
    }

    private func refusal(_ request: borrowing ServiceRequest, _ type: String, isKnown: Bool) -> ServiceResponse? {
        guard request.method == "POST" else { return .text(405, "gRPC calls are sent with POST", headers: [("Allow", "POST")]) }
        if !isKnown {
            let calls = services.map { String($0.exportPath.dropFirst()) }.joined(separator: ", ")
            return .grpc(.unimplemented, "\(request.path.prefix(200)) is not served here; \(calls) and \(Self.healthPath.dropFirst()) are")
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

    private func export(_ service: any OTLPService, _ call: GRPCCallReader, _ responder: Responder) -> ServiceOutcome {
        let bytesMax = bytesMax
        let result = unsafe call.message.withUnsafeBytes { message in
            unsafe service.take(message, coding: call.isCompressed ? "gzip" : "", .protobuf, service.grpc) { result in
                responder.respond(Self.grpcAnswer(result, bytesMax: bytesMax))
            }
        }
        return result.map { .respond(Self.grpcAnswer($0, bytesMax: bytesMax)) } ?? .later
    }

    private static func grpcAnswer(_ result: OTLPResult, bytesMax: Int) -> ServiceResponse {
        switch result {
        case .stored(let message): .grpc(message: message)
        case .malformed(let reason): .grpc(.invalidArgument, reason)
        case .unreadable(.tooLarge): GRPCCallReader.tooLargeAnswer(bytesMax)
        case .unreadable: .grpc(.invalidArgument, "the message is not the gzip that its compressed-flag says")
        case .rejected(let rejection): GRPCCallReader.unavailableAnswer(rejection.text, afterSeconds: rejection.retryAfterSeconds)
        }
    }

    /// `HealthCheckRequest { string service = 1; }` to `HealthCheckResponse { status = 1; }`, 1 = SERVING (gRPC health checking
    /// protocol). Whether the store takes batches now is another question, which an answer to them tells in time.
    private func checkHealth(_ call: GRPCCallReader) -> ServiceOutcome {
        let served = services.map(\.name)
        let asked: String? = call.message.isEmpty
            ? ""
            : call.message[0] == 1 << 3 | 2 && call.message.count > 1 && Int(call.message[1]) == call.message.count - 2
                ? String(decoding: call.message.dropFirst(2), as: UTF8.self) : nil
        guard let asked, asked.isEmpty || asked == Self.healthService || served.contains(asked) else {
            return .respond(
                .grpc(.notFound, "no such service; \(served.joined(separator: " and ")) \(served.count == 1 ? "is" : "are") served here"))
        }
        return .respond(.grpc(message: [1 << 3, 1]))
    }
}
