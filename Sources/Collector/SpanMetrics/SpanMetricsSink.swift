internal import Synchronization
public import TelemetryModel

/// Stands before the store and counts the spans of every batch that it took (`SpanMetrics`); what it refuses is not counted. Any thread.
///
/// Spans are looked at where they are submitted, and counted in the store's completion, on its writer thread: behind the commit and before
/// the sender's answer, under a lock that only `record` takes besides. So it cannot be late, needs no queue, and slows down who sends
/// instead of losing counts; requests of the proxy are nowhere near.
public final class SpanMetricsSink: BatchSink {
    private let sink: any BatchSink<SpanBatch>
    private let reader: SpanFactReader
    private let state: Mutex<State>
    /// Held until a recording is submitted: one that overtook an older one would have it dropped.
    private let order = Mutex(())
    private let counters: SpanMetricsCounters
    public let names: SpanMetricsNames

    private struct State {
        var metrics: SpanMetrics
        /// Memory of the recording before.
        var batch = SeriesBatch()
    }

    public init(
        _ sink: any BatchSink<SpanBatch>, _ names: SpanMetricsNames, statistics: CollectorStatistics,
        limits: SpanMetricsLimits = SpanMetricsLimits()
    ) {
        self.sink = sink
        self.names = names
        counters = SpanMetricsCounters(statistics)
        reader = SpanFactReader(limits)
        state = Mutex(State(metrics: SpanMetrics(names, limits: limits)))
    }

    public func submit(_ batch: consuming SpanBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        let kept = batch
        let facts = reader.facts(of: kept)
        sink.submit(kept) { [self] result in
            if case .success = result { observe(facts, of: kept) }
            completion(result)
        }
    }

    /// A recording could not begin.
    public func noteSkipped() { counters.recordingsRefused.add() }

    private func observe(_ facts: [SpanFact], of batch: SpanBatch) {
        let moment = SpanMetricsMoment.now
        state.withLock { state in
            state.metrics.observe(facts, of: batch, at: moment)
            counters.update(state.metrics)
        }
    }

    /// Hands the totals of this moment to `series`. `done` is called when they are stored or refused, on any thread. What is
    /// refused is in the next one, as totals only grow.
    public func record(into series: any BatchSink<SeriesBatch>, done: @escaping @Sendable () -> Void = {}) {
        order.withLock { _ in recordNext(into: series, done) }
    }

    /// The completion takes `state` alone: it may be called at once.
    private func recordNext(into series: any BatchSink<SeriesBatch>, _ done: @escaping @Sendable () -> Void) {
        let moment = SpanMetricsMoment.now
        let batch = state.withLock { state -> SeriesBatch in
            var batch = SeriesBatch()
            swap(&batch, &state.batch)
            batch.removeAll()
            state.metrics.record(into: &batch, at: moment)
            counters.update(state.metrics)
            return batch
        }
        guard batch.itemCount > 0 else { return done() }
        series.submit(batch) { [self] result in
            switch result {
            case .success: counters.recordingsStored.add()
            case .failure: counters.recordingsRefused.add()
            }
            state.withLock { $0.batch = batch }
            done()
        }
    }
}

/// What span metrics count of themselves.
struct SpanMetricsCounters: Sendable {
    private let spans, overflowed, weightsRefused, series, open, evicted: CollectorCounter
    /// By `EdgeOutcome`.
    private let outcomes: [CollectorCounter]
    let recordingsStored, recordingsRefused: CollectorCounter

    init(_ statistics: CollectorStatistics) {
        spans = statistics.counter(.spanMetricsSpans)
        overflowed = statistics.counter(.spanMetricsOverflowed)
        weightsRefused = statistics.counter(.spanMetricsWeightsRefused)
        series = statistics.counter(.spanMetricsSeries)
        open = statistics.counter(.spanMetricsEdgesOpen)
        evicted = statistics.counter(.spanMetricsEdgesEvicted)
        outcomes = EdgeOutcome.allCases.map { statistics.counter(.spanMetricsEdges, [("outcome", $0.metricLabel)]) }
        recordingsStored = statistics.counter(.spanMetricsRecordings, [("outcome", "stored")])
        recordingsRefused = statistics.counter(.spanMetricsRecordings, [("outcome", "refused")])
    }

    /// One thread at a time.
    func update(_ metrics: borrowing SpanMetrics) {
        spans.set(metrics.counters.spans)
        overflowed.set(metrics.counters.overflowed)
        weightsRefused.set(metrics.counters.weightsRefused)
        series.set(UInt64(clamping: metrics.seriesCount))
        open.set(UInt64(clamping: metrics.pairing.openCount))
        evicted.set(metrics.pairing.evicted)
        for outcome in EdgeOutcome.allCases { outcomes[outcome.rawValue].set(metrics.pairing.count(outcome)) }
    }
}
