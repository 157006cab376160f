internal import Primitives
internal import PromQL

/// What a query cost, as `stats` asks for it (Prometheus: util/stats). Times are seconds of the wall clock. Results are sorted while they
/// are evaluated: `resultSortTime` is 0 and in `innerEvalTime`. Samples by step are not counted, as in a Prometheus without the feature
/// `promql-per-step-stats`.
struct QueryStatistics {
    /// When the request had come, when it had left the queue, and when its query was parsed and the source open.
    let received: MonotonicInstant
    let begun = SystemClock.monotonicNow()
    private var prepared = SystemClock.monotonicNow()
    private var ended = SystemClock.monotonicNow()
    private var cost = QueryCost()

    init(received: MonotonicInstant) { self.received = received }

    mutating func notePrepared() { prepared = SystemClock.monotonicNow() }

    mutating func noteEnd(_ cost: QueryCost) {
        ended = SystemClock.monotonicNow()
        self.cost = cost
    }

    func append(to bytes: inout [UInt8]) {
        func seconds(_ from: MonotonicInstant, _ to: MonotonicInstant) -> String {
            GoFloat.general(Double(to.nanoseconds(since: from)) / 1e9)
        }
        bytes.append(text: "{\"timings\":{\"evalTotalTime\":\(seconds(begun, ended)),\"resultSortTime\":0,")
        bytes.append(text: "\"queryPreparationTime\":\(seconds(begun, prepared)),\"innerEvalTime\":\(seconds(prepared, ended)),")
        bytes.append(text: "\"execQueueTime\":\(seconds(received, begun)),\"execTotalTime\":\(seconds(received, ended))},")
        bytes.append(text: "\"samples\":{\"totalQueryableSamples\":\(cost.samplesRead),\"peakSamples\":\(cost.samplesPeak)}}")
    }
}
