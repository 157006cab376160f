internal import Synchronization

/// For each series of requests and each bucket of its durations the last sampled request that fell into it, for exemplars.
///
/// The records' thread notes, scrapes read; any thread. A request whose record was dropped leaves none, as it leaves no span.
public final class RequestExemplars: Sendable {
    public struct Exemplar: Sendable, BitwiseCopyable {
        public var traceID: TraceID
        public var spanID: SpanID
        public var durationMicroseconds: UInt64
        /// The end of the request, milliseconds since 1970.
        public var unixMilliseconds: UInt64
    }

    /// Buckets remembered; the older half goes when there are more.
    public static let bucketsMax = 65_536

    private struct Place: Hashable {
        var key: SeriesKey
        var bucket: UInt8
    }

    private let places = Mutex<[Place: Exemplar]>([:])

    public init() {}

    /// A request whose span is kept.
    public func note(_ record: borrowing RequestRecord) {
        guard record.isSampled, !record.traceID.isNone, record.times.downstreamSendEnd != RequestTimes.absent else { return }
        let duration = record.times.downstreamSendEnd
        let end = record.startUnixNanoseconds &+ duration
        let exemplar = Exemplar(
            traceID: record.traceID, spanID: record.spanID, durationMicroseconds: duration / 1000, unixMilliseconds: end / 1_000_000)
        let place = Place(
            key: SeriesKey(record), bucket: UInt8(truncatingIfNeeded: HistogramBuckets.index(ofMicroseconds: duration / 1000)))
        places.withLock { places in
            places[place] = exemplar
            if places.count > Self.bucketsMax { Self.forgetOlderHalf(&places) }
        }
    }

    /// By series: buckets and what fell into them last.
    public func latest() -> [SeriesKey: [(bucket: Int, exemplar: Exemplar)]] {
        let all = places.withLock { $0 }
        var series: [SeriesKey: [(bucket: Int, exemplar: Exemplar)]] = [:]
        for (place, exemplar) in all { series[place.key, default: []].append((Int(place.bucket), exemplar)) }
        return series
    }

    private static func forgetOlderHalf(_ places: inout [Place: Exemplar]) {
        let times = places.values.map(\.unixMilliseconds).sorted()
        let limit = times[times.count / 2]
        places = places.filter { $0.value.unixMilliseconds > limit }
    }
}
