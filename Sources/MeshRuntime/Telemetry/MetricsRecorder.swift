internal import Collector
internal import Primitives
internal import QueryAPI
internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// Puts this process' own metrics into its store, as a Prometheus beside it would that scrapes `/metrics`: Istio's families of all workers,
/// and `skein_*`, under `job` and `instance`.
///
/// Workers count on meanwhile: their shards are read without holding them up. Any thread that may block; one recording at a time.
final class MetricsRecorder: Sendable {
    static let job = "skein"

    private let metrics: MetricsExposition
    private let sink: any BatchSink<SeriesBatch>
    private let target: [LabelSet.Label]
    private let state: Mutex<State>
    /// Held until a recording is submitted: one that overtook an older one would have it dropped, or be dropped as a repetition.
    private let order = Mutex(())
    /// Recordings that the store refused: the next one has the counts, as they only grow.
    private let refused = Atomic<UInt64>(0)
    private let recorded = Atomic<UInt64>(0)

    private struct State {
        var series: ScrapedSeries
        /// Memory of the batch before.
        var batch = SeriesBatch()
        /// When the last page was read, or this began, milliseconds since 1970: what is new on the next page had counted nothing by then.
        var read: Int64
    }

    /// `instance`: host and port of the metrics' own endpoint.
    init(_ metrics: MetricsExposition, into sink: any BatchSink<SeriesBatch>, instance: String) {
        self.metrics = metrics
        self.sink = sink
        target = [LabelSet.Label("job", Self.job), LabelSet.Label("instance", instance)]
        state = Mutex(State(series: ScrapedSeries(target: target), read: Self.now))
    }

    /// Milliseconds since 1970.
    private static var now: Int64 { Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000) }

    /// Recordings the store has, and those it refused.
    var counts: (recorded: UInt64, refused: UInt64) { (recorded.load(ordering: .relaxed), refused.load(ordering: .relaxed)) }

    /// What is known of the families: kinds and helps.
    var families: [String: (kind: String, help: String)] { state.withLock { $0.series.families } }

    /// A recording could not begin.
    func noteSkipped() { refused.add(1, ordering: .relaxed) }

    /// Records the counts of this moment. `done` is called when the store has them or has refused them, on any thread.
    func record(done: @escaping @Sendable () -> Void = {}) {
        order.withLock { _ in recordNext(done) }
    }

    /// The completion takes `state` alone: it may be called at once.
    private func recordNext(_ done: @escaping @Sendable () -> Void) {
        let begun = SystemClock.monotonicNow()
        let time = Self.now
        let batch = state.withLock { state -> SeriesBatch in
            var batch = SeriesBatch()
            swap(&batch, &state.batch)
            batch.removeAll()
            // The format that has exemplars.
            let read = metrics.exposition(.openMetrics).flatMap { page in
                try? state.series.read(page, isOpenMetrics: true, at: time, newSince: state.read, into: &batch)
            }
            if read != nil { state.read = time }
            let seconds = Double(SystemClock.monotonicNow().nanoseconds - begun.nanoseconds) / 1e9
            ScrapeSamples.append(
                target, at: time, isUp: read != nil, seconds: seconds, samples: read?.samples ?? 0, added: read?.added ?? 0, to: &batch)
            return batch
        }
        sink.submit(batch) { [self] result in
            switch result {
            case .success: recorded.add(1, ordering: .relaxed)
            case .failure: refused.add(1, ordering: .relaxed)
            }
            state.withLock { $0.batch = batch }
            done()
        }
    }
}
