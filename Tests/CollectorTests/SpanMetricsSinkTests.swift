@testable import Collector
import Synchronization
import TelemetryModel
import Testing

/// Only what the store took is counted, and what the store refuses of the recordings is in the next one.
@Suite final class SpanMetricsSinkTests: Sendable {
    private final class SeriesSink: BatchSink {
        private let state = Mutex<(batches: [SeriesBatch], rejection: BatchRejection?)>(([], nil))
        var batches: [SeriesBatch] { state.withLock { $0.batches } }
        func refuse(_ rejection: BatchRejection?) { state.withLock { $0.rejection = rejection } }

        func submit(_ batch: consuming SeriesBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
            let batch = batch
            let rejection = state.withLock { state in
                if state.rejection == nil { state.batches.append(batch) }
                return state.rejection
            }
            completion(rejection.map { .failure($0) } ?? .success(()))
        }
    }

    private let store = FakeSink()
    private let statistics = CollectorStatistics()
    private let answers = Mutex<[Bool]>([])

    private func send(_ sink: SpanMetricsSink, _ spans: SpanSketch...) {
        sink.submit(SpanSketch.batch(spans)) { [self] result in
            answers.withLock { $0.append((try? result.get()) != nil) }
        }
    }

    @Test func aBatchCountsOnceItIsStored() {
        let sink = SpanMetricsSink(store, .tempo, statistics: statistics)
        store.mode = .hold
        send(sink, .client(1, "a"), .server(2, "b", under: 1))
        #expect(statistics.total("skein_span_metrics_spans_total") == 0 && answers.withLock { $0 } == [])
        store.release()
        #expect(statistics.total("skein_span_metrics_spans_total") == 2 && answers.withLock { $0 } == [true])
        #expect(statistics.total("skein_span_metrics_edges_total", ["outcome": "paired"]) == 1)
        // One operation of each service with two series, one edge with four.
        #expect(statistics.total("skein_span_metrics_series") == 8)
    }

    @Test func aBatchThatTheStoreRefusedDoesNotCount() {
        let sink = SpanMetricsSink(store, .tempo, statistics: statistics)
        store.mode = .fail(.overloaded)
        send(sink, .server(1, "a"))
        #expect(statistics.total("skein_span_metrics_spans_total") == 0 && answers.withLock { $0 } == [false])
        let series = SeriesSink()
        let isDone = Atomic<Bool>(false)
        sink.record(into: series) { isDone.store(true, ordering: .relaxed) }
        #expect(series.batches.isEmpty && isDone.load(ordering: .relaxed))
    }

    @Test func aRefusedRecordingIsMadeUpFor() {
        let sink = SpanMetricsSink(store, .tempo, statistics: statistics)
        let series = SeriesSink()
        send(sink, .client(1, "a"))
        series.refuse(.overloaded)
        sink.record(into: series)
        send(sink, .client(2, "a"))
        series.refuse(nil)
        sink.record(into: series)
        #expect(series.batches.map { $0.points.map(\.value) }.first?.first == 2)
        #expect(statistics.total("skein_span_metrics_recordings_total", ["outcome": "refused"]) == 1)
        #expect(statistics.total("skein_span_metrics_recordings_total", ["outcome": "stored"]) == 1)
    }
}
