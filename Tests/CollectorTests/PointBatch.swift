@testable import Collector
import Synchronization
import TelemetryModel
import TelemetryWire

/// The batch of a second signal: what metrics will have to bring along.
struct PointBatch: TelemetryBatch {
    static let signal = TelemetrySignal.metrics
    var values: [UInt8] = []

    init() {}
    init(_ values: [UInt8]) { self.values = values }

    var itemCount: Int { values.count }
    var byteCount: Int { values.count }
    var capacityBytes: Int { values.capacity }
    mutating func removeAll() { values.removeAll(keepingCapacity: true) }
}

/// Points as lines, under another path and with fields of their own: as far from Zipkin as remote write is.
struct LineEncoding: ExporterEncoding {
    let name = "lines"
    let path = "/api/v1/write"
    let fields = [(name: "Content-Type", value: "text/x-lines"), (name: "X-Lines-Version", value: "0.1.0")]

    func append(_ batches: [PointBatch], to body: inout [UInt8]) {
        for batch in batches { for value in batch.values { body += Array("\(value);".utf8) } }
    }

    /// 409 passes here, as it does not with others.
    func verdict(status: UInt16) -> ExporterVerdict {
        switch status {
        case 200..<300: .accepted
        case 409, 500...: .retried
        default: .rejected
        }
    }
}

/// A signal whose export request is a byte for each point; 255 is no point.
struct OTLPPoints: OTLPSignal {
    struct Outcome: DecodeOutcome {
        var acceptedItems = 0
        var refusedItems = 0
        var droppedParts: OTLPDroppedParts? { nil }
    }

    static let path = "/v1/metrics"
    static let service = "opentelemetry.proto.collector.metrics.v1.MetricsService"
    static let noun = "metrics"

    func decodeRequest(
        _ body: UnsafeRawBufferPointer, _ encoding: OTLPResponse.Encoding, into batch: inout PointBatch
    ) throws(OTLPDecodeError) -> Outcome {
        var outcome = Outcome()
        for unsafe byte in unsafe body {
            if byte == 255 {
                outcome.refusedItems += 1
            } else {
                batch.values.append(byte)
                outcome.acceptedItems += 1
            }
        }
        return outcome
    }

    static func appendSuccess(_ outcome: Outcome, _ encoding: OTLPResponse.Encoding, to bytes: inout [UInt8]) {
        if outcome.refusedItems > 0 { bytes += [UInt8(outcome.refusedItems)] }
    }
}

final class PointSink: BatchSink {
    private let state = Mutex<(stored: [PointBatch], rejection: BatchRejection?)>(([], nil))

    var stored: [PointBatch] { state.withLock { $0.stored } }
    func refuse(_ rejection: BatchRejection?) { state.withLock { $0.rejection = rejection } }

    func submit(_ batch: consuming PointBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        let batch = batch
        let rejection = state.withLock { state in
            if state.rejection == nil { state.stored.append(batch) }
            return state.rejection
        }
        completion(rejection.map { .failure($0) } ?? .success(()))
    }
}
