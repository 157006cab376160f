internal import Primitives

/// One point in time on both clocks: the monotonic one says how long something waited, the other one stands at samples.
struct SpanMetricsMoment {
    var monotonic: MonotonicInstant
    var unixMilliseconds: Int64

    static var now: SpanMetricsMoment {
        SpanMetricsMoment(
            monotonic: SystemClock.monotonicNow(), unixMilliseconds: Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000))
    }
}
