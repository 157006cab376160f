internal import TelemetryModel
internal import TelemetryWire

/// What came of an export request, in OTLP's terms.
enum OTLPResult: Sendable {
    /// The response message, in the request's encoding: success, perhaps a partial one.
    case stored([UInt8])
    case malformed(String)
    case unreadable(BodyError)
    case rejected(BatchRejection)
}

/// One signal's service as the transports see it: where it is found, its counters, and bodies in.
protocol OTLPService: AnyObject, Sendable {
    /// Over HTTP: `/v1/traces`.
    var path: String { get }
    /// Over gRPC: `opentelemetry.proto.collector.trace.v1.TraceService`.
    var name: String { get }
    /// What is sent to it, in sentences.
    var noun: String { get }
    /// What its batches consist of, in sentences.
    var items: String { get }
    var http: ReceiverCounters { get }
    var grpc: ReceiverCounters { get }

    /// Unpacks, decodes and hands over an export request, whatever brought it. What is known at once is returned; nil = `answer` will be
    /// called, on any thread, when the sink has the batch or has refused it. `coding` is in lower case.
    func take(
        _ body: UnsafeRawBufferPointer, coding: String, _ encoding: OTLPResponse.Encoding, _ counters: ReceiverCounters,
        _ answer: @escaping @Sendable (OTLPResult) -> Void
    ) -> OTLPResult?
}

extension OTLPService {
    /// The path of its one call over gRPC.
    var exportPath: String { "/\(name)/Export" }
}

/// What OTLP says of one signal: names, decoders, and the response message.
protocol OTLPSignal: Sendable {
    associatedtype Batch: TelemetryBatch
    associatedtype Outcome: DecodeOutcome

    static var path: String { get }
    static var service: String { get }
    static var noun: String { get }

    /// An export request's message into a batch. Any thread.
    func decodeRequest(
        _ body: UnsafeRawBufferPointer, _ encoding: OTLPResponse.Encoding, into batch: inout Batch
    ) throws(OTLPDecodeError) -> Outcome
    /// The response message.
    static func appendSuccess(_ outcome: Outcome, _ encoding: OTLPResponse.Encoding, to bytes: inout [UInt8])
}

struct OTLPTraces: OTLPSignal {
    static let path = "/v1/traces"
    static let service = "opentelemetry.proto.collector.trace.v1.TraceService"
    static let noun = "traces"

    func decodeRequest(
        _ body: UnsafeRawBufferPointer, _ encoding: OTLPResponse.Encoding, into batch: inout SpanBatch
    ) throws(OTLPDecodeError) -> OTLPDecodeOutcome {
        switch encoding {
        case .protobuf: unsafe try OTLPTraceDecoder.decode(body, into: &batch)
        case .json: unsafe try OTLPTraceDecoder.decodeJSON(body, into: &batch)
        }
    }

    static func appendSuccess(_ outcome: OTLPDecodeOutcome, _ encoding: OTLPResponse.Encoding, to bytes: inout [UInt8]) {
        OTLPResponse.appendTraceSuccess(outcome, encoding, to: &bytes)
    }
}

/// A signal's service: what OTLP says of it, and its intake. Any thread.
final class OTLPSignalService<Signal: OTLPSignal>: OTLPService {
    let http: ReceiverCounters
    let grpc: ReceiverCounters
    private let signal: Signal
    private let intake: SignalIntake<Signal.Batch>

    init(_ signal: Signal, _ intake: SignalIntake<Signal.Batch>, _ statistics: CollectorStatistics) {
        self.signal = signal
        self.intake = intake
        http = ReceiverCounters("otlp", signal: Signal.Batch.signal, statistics)
        grpc = ReceiverCounters("otlp", transport: "grpc", signal: Signal.Batch.signal, statistics)
    }

    var path: String { Signal.path }
    var name: String { Signal.service }
    var noun: String { Signal.noun }
    var items: String { Signal.Batch.signal.items.replacing("_", with: " ") }

    func take(
        _ body: UnsafeRawBufferPointer, coding: String, _ encoding: OTLPResponse.Encoding, _ counters: ReceiverCounters,
        _ answer: @escaping @Sendable (OTLPResult) -> Void
    ) -> OTLPResult? {
        let known = unsafe intake.take(
            body, coding: coding, counters,
            decode: { body, batch throws(OTLPDecodeError) in unsafe try signal.decodeRequest(body, encoding, into: &batch) },
            answer: { answer(Self.otlpResult($0, encoding)) })
        return known.map { Self.otlpResult($0, encoding) }
    }

    private static func otlpResult(_ result: IntakeResult<Signal.Outcome>, _ encoding: OTLPResponse.Encoding) -> OTLPResult {
        switch result {
        case .stored(let outcome):
            var message: [UInt8] = []
            Signal.appendSuccess(outcome, encoding, to: &message)
            return .stored(message)
        case .malformed(let reason): return .malformed(reason)
        case .unreadable(let error): return .unreadable(error)
        case .rejected(let rejection): return .rejected(rejection)
        }
    }
}
