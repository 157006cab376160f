internal import Primitives

/// Points of many series in few pieces of memory: what receivers of metrics, the proxies' reports and span metrics make, and the store
/// takes.
///
/// All identities (`SeriesIdentity`) lie in one arena, hashed as they come; points name them by number. A batch may be reused:
/// `removeAll()` keeps the capacity. It is a value; whoever holds it owns it. Within a batch points are in order of time for each series.
public struct SeriesBatch: TelemetryBatch {
    public static let signal = TelemetrySignal.metrics

    /// Bytes of an identity in `identityBytes`, and what is known of it.
    public struct Identity: Sendable, BitwiseCopyable {
        public var offset: UInt32
        public var count: UInt32
        /// Of the bytes, with this process's seed.
        public var hash: UInt64
        public var kind: SeriesKind
        /// Numbers of a sample, see `SeriesIdentity.columns`.
        public var columns: UInt16
    }

    public struct Point: Sendable, BitwiseCopyable {
        /// Index into `identities`.
        public var identity: UInt32
        /// First of a classic histogram's numbers in `numbers`, or index into `natives`; else 0.
        public var payload: UInt32
        /// Milliseconds since 1970.
        public var time: Int64
        /// When the series began to count from zero, milliseconds since 1970; 0 = unknown.
        public var created: Int64
        public var value: Double
    }

    /// Whose report this is and which of its reports, counted up from 1. A report whose number is not above the last one of its sender is
    /// acknowledged and not counted again. A sender that starts anew has another name.
    public struct Report: Hashable, Sendable {
        /// A principal has namespace and account of up to 63 and 253 bytes, and a trust domain of up to 255.
        public static let senderBytesMax = 1024
        public var sender: String
        public var sequence: UInt64
        /// Who the sender is by its certificate (`cluster.local/ns/default/sa/reviews`), as the receiver has verified; nil = it has not.
        /// Not part of what is sent.
        public var principal: String?
        /// What the sender saw of endpoints, for mesh-wide outlier detection; empty = it does not say. Not stored.
        public var outliers: [UInt8] = []
        /// The sender ends in order, and nothing that it counted is missing.
        public var isLast = false

        /// A sender's name: `[PRINCIPAL@]INSTANCE/NUMBER` (docs/formats/report.md).
        public static func sender(principal: String?, instance: String, number: String) -> String {
            (principal.map { $0 + "@" } ?? "") + "\(instance)/\(number)"
        }

        /// The principal that the sender's name claims; nil = none. No address has an `@`.
        public var claimedPrincipal: String? { sender.lastIndex(of: "@").map { String(sender[..<$0]) } }

        public init(sender: String, sequence: UInt64) {
            self.sender = sender
            self.sequence = sequence
        }
    }

    public private(set) var identityBytes: [UInt8] = []
    public private(set) var identities: [Identity] = []
    public private(set) var points: [Point] = []
    /// Classic histograms: counts of the buckets, each without those below it, the last one up to +Inf; then count and sum.
    public private(set) var numbers: [Double] = []
    public private(set) var natives: [NativeHistogram] = []
    /// Each with the number of its identity; in order of time for each series.
    public private(set) var exemplars: [(identity: UInt32, exemplar: SeriesExemplar)] = []
    public var report: Report?

    public init() {}

    public var itemCount: Int { points.count }
    public var isEmpty: Bool { points.isEmpty && exemplars.isEmpty }

    public var byteCount: Int {
        identityBytes.count + identities.count * MemoryLayout<Identity>.stride + points.count * MemoryLayout<Point>.stride
            + numbers.count * 8 + exemplars.count * 48
            + natives.reduce(0) { $0 + 128 + ($1.positiveCounts.count + $1.negativeCounts.count) * 8 }
    }

    public var capacityBytes: Int {
        identityBytes.capacity + identities.capacity * MemoryLayout<Identity>.stride + points.capacity * MemoryLayout<Point>.stride
            + numbers.capacity * 8 + exemplars.capacity * 48
    }

    public mutating func removeAll() {
        identityBytes.removeAll(keepingCapacity: true)
        identities.removeAll(keepingCapacity: true)
        points.removeAll(keepingCapacity: true)
        numbers.removeAll(keepingCapacity: true)
        natives.removeAll(keepingCapacity: true)
        exemplars.removeAll(keepingCapacity: true)
        report = nil
    }

    // MARK: Identities

    /// Adds bytes that are known to be an identity: made here, or looked at by `SeriesIdentity.check`. Returns its number.
    public mutating func append(identity bytes: some Collection<UInt8>, _ kind: SeriesKind, bounds: Int = 0) -> UInt32 {
        let start = identityBytes.count
        identityBytes.append(contentsOf: bytes)
        return close(identityFrom: start, kind, bounds: bounds)
    }

    public mutating func append(_ labels: LabelSet, _ kind: SeriesKind, bounds: [Double] = []) -> UInt32 {
        append(identity: SeriesIdentity.encode(labels, kind, bounds: bounds), kind, bounds: bounds.count)
    }

    /// Adds the labels of a decoder, in any order and without Strings: places in `text`. Of labels with the same name the last one
    /// counts, and labels with empty values are left out. `labels` comes back sorted.
    public mutating func append(
        labels: inout [(name: Range<Int>, value: Range<Int>)], of text: [UInt8], _ kind: SeriesKind, bounds: [Double] = []
    ) -> UInt32 {
        let start = identityBytes.count
        identityBytes.append(contentsOf: SeriesIdentity.prefix(kind, bounds: bounds))
        // Few and nearly sorted more often than not, and equal names must stay in their order.
        for index in labels.indices.dropFirst() {
            var at = index
            while at > 0, text[labels[at].name].lexicographicallyPrecedes(text[labels[at - 1].name]) {
                labels.swapAt(at, at - 1)
                at -= 1
            }
        }
        for (index, label) in labels.enumerated() where !label.value.isEmpty {
            if index + 1 < labels.count, text[label.name].elementsEqual(text[labels[index + 1].name]) { continue }
            SeriesIdentity.append(text[label.name], to: &identityBytes)
            SeriesIdentity.append(text[label.value], to: &identityBytes)
        }
        return close(identityFrom: start, kind, bounds: bounds.count)
    }

    private mutating func close(identityFrom start: Int, _ kind: SeriesKind, bounds: Int) -> UInt32 {
        let hash = ByteHash.hash(identityBytes, start..<identityBytes.count)
        identities.append(Identity(
            offset: UInt32(clamping: start), count: UInt32(clamping: identityBytes.count - start), hash: hash, kind: kind,
            columns: UInt16(clamping: SeriesIdentity.columns(kind, bounds: bounds))))
        return UInt32(clamping: identities.count - 1)
    }

    // MARK: Points

    /// A number. `identity` comes from `append` and is none of a histogram.
    public mutating func append(_ identity: UInt32, time: Int64, value: Double, created: Int64 = 0) {
        precondition(identities[Int(identity)].columns == 1, "a number for a series of histograms")
        points.append(Point(identity: identity, payload: 0, time: time, created: created, value: value))
    }

    /// A classic histogram: counts of the buckets, each without those below it, the one up to +Inf last.
    public mutating func append(
        _ identity: UInt32, time: Int64, buckets: some Collection<Double>, count: Double, sum: Double, created: Int64 = 0
    ) {
        precondition(Int(identities[Int(identity)].columns) == buckets.count + 2, "as many buckets as bounds, and one more")
        points.append(Point(identity: identity, payload: UInt32(clamping: numbers.count), time: time, created: created, value: sum))
        numbers.append(contentsOf: buckets)
        numbers.append(count)
        numbers.append(sum)
    }

    /// A native histogram, which must be valid.
    public mutating func append(_ identity: UInt32, time: Int64, _ histogram: NativeHistogram, created: Int64 = 0) {
        precondition(identities[Int(identity)].kind == .nativeHistogram, "a native histogram for a series of others")
        points.append(Point(
            identity: identity, payload: UInt32(clamping: natives.count), time: time, created: created, value: histogram.sum))
        natives.append(histogram)
    }

    /// An observation that the series counts, and its trace, which is known.
    public mutating func append(_ identity: UInt32, _ exemplar: SeriesExemplar) {
        assert(!exemplar.traceID.isNone)
        exemplars.append((identity, exemplar))
    }

    /// Ends the series at this time.
    public mutating func appendStale(_ identity: UInt32, time: Int64) {
        let series = identities[Int(identity)]
        switch series.kind {
        case .nativeHistogram: append(identity, time: time, NativeHistogram(sum: SeriesSamples.staleMarker))
        case .classicHistogram:
            let zeros = [Double](repeating: 0, count: Int(series.columns) - 2)
            append(identity, time: time, buckets: zeros, count: 0, sum: SeriesSamples.staleMarker)
        case .counter, .gauge, .unknown: append(identity, time: time, value: SeriesSamples.staleMarker)
        }
    }
}
