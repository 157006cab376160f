internal import Primitives
internal import TelemetryModel

/// What was added up of one series of delta temporality (OpenTelemetry's metrics data model, "Sums: Delta-to-Cumulative"). A value.
///
/// A gap between two increases changes nothing: SDKs leave out series that had no measurements, and what was lost in a gap is lost
/// whether or not a total begins anew. So does OpenTelemetry's deltatocumulative processor.
struct DeltaSeries: Sendable {
    private enum Value: Sendable {
        case number(Double)
        case classic(ClassicHistogram)
        case histogram(DeltaHistogram)
    }

    /// Why an increase is not added. The raw value is a label of `skein_delta_points_refused_total`.
    enum Refusal: String, Error, CaseIterable {
        case outOfOrder = "out_of_order"
        case overlap
        case invalid
        case buckets
        case full
        case large

        /// For the sender, behind "because".
        var text: String {
            switch self {
            case .outOfOrder: "it ends at or before the newest point of its series: increases are added in their order alone"
            case .overlap: "it begins before the newest point of its series ends: what both count would be added twice"
            case .invalid: "it has no time, ends before it begins, or its increase is negative or no number"
            case .buckets: "its total would have too many buckets"
            case .large: "the totals of the request take too much memory: send fewer points at once"
            case .full: "too many series of delta temporality are being added up: prefer cumulative temporality"
            }
        }
    }

    private var value: Value
    /// When the total began at zero, milliseconds since 1970.
    private var created: Int64
    /// End of the newest increase, milliseconds since 1970.
    private var last: Int64

    /// A total that begins with this increase.
    init(_ point: MetricPoint) throws(Refusal) {
        try Self.check(point)
        let start = point.created ?? point.time
        // The total before this one, if there was one, may have its last sample at `start`; the zero comes behind it.
        created = start < point.time ? start + 1 : start
        last = point.time
        switch point.value {
        case .number(let number): value = .number(number)
        case .classic(let histogram): value = .classic(histogram)
        case .histogram(let histogram):
            guard let sum = DeltaHistogram(histogram) else { throw .buckets }
            value = .histogram(sum)
        }
    }

    /// Adds an increase of the same series; when it throws, nothing is changed.
    mutating func add(_ point: MetricPoint) throws(Refusal) {
        try Self.check(point)
        guard point.time > last else { throw .outOfOrder }
        if let start = point.created, start < last { throw .overlap }
        switch (value, point.value) {
        case (.number(let sum), .number(let increase)): value = .number(sum + increase)
        case (.classic(var sum), .classic(let increase)):
            guard sum.bounds == increase.bounds else { throw .invalid }
            for index in sum.buckets.indices { sum.buckets[index] += increase.buckets[index] }
            sum.count += increase.count
            sum.sum = if let mine = sum.sum, let theirs = increase.sum { mine + theirs } else { nil }
            value = .classic(sum)
        case (.histogram(var sum), .histogram(let increase)):
            guard sum.add(increase) else { throw .buckets }
            value = .histogram(sum)
        default: throw .invalid
        }
        last = point.time
    }

    private static func check(_ point: MetricPoint) throws(Refusal) {
        guard point.time > 0, point.created ?? 0 <= point.time else { throw .invalid }
        if case .number(let number) = point.value {
            guard number.isFinite, number >= 0 || point.kind == .gauge else { throw .invalid }
        }
    }

    /// The total as a point of cumulative temporality, with the labels, the kind and the time of the increase that was added last.
    func total(_ point: MetricPoint) -> MetricPoint {
        var total = point
        total.isIncrease = false
        total.created = point.kind == .gauge ? nil : created
        switch value {
        case .number(let number): total.value = .number(number)
        case .classic(let histogram): total.value = .classic(histogram)
        case .histogram(let histogram): total.value = .histogram(histogram.native)
        }
        return total
    }

    /// Memory, about.
    var byteCount: Int {
        switch value {
        case .number: 96
        case .classic(let histogram): 96 + (histogram.bounds.count + histogram.buckets.count) * 8
        case .histogram(let histogram): 96 + histogram.byteCount
        }
    }

    /// What tells series apart whose increases can be added up: labels and kind, and how a histogram divides numbers. One whose sender
    /// changes that begins a new total.
    static func key(_ point: MetricPoint) -> DeltaKey {
        var key: [UInt8]
        var bounds: [Double] = []
        switch point.value {
        case .number: key = SeriesIdentity.encode(point.labels, point.kind == .gauge ? .gauge : .counter)
        case .classic(let histogram):
            // Not as the identity has them: there may be more than it takes.
            key = SeriesIdentity.encode(point.labels, .classicHistogram)
            bounds = histogram.bounds
        case .histogram(let histogram):
            key = SeriesIdentity.encode(point.labels, .nativeHistogram)
            bounds = [histogram.zeroThreshold] + histogram.customBounds
        }
        for bound in bounds { unsafe withUnsafeBytes(of: bound.bitPattern) { unsafe key.append(contentsOf: $0) } }
        return DeltaKey(key)
    }
}

/// Bytes that name a series, hashed once: each increase looks it up several times.
struct DeltaKey: Hashable, Sendable {
    private let bytes: [UInt8]
    /// With this process's seed.
    private let digest: UInt64

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        digest = ByteHash.hash(bytes, bytes.indices)
    }

    var count: Int { bytes.count }

    static func == (left: Self, right: Self) -> Bool { left.digest == right.digest && left.bytes == right.bytes }
    func hash(into hasher: inout Hasher) { hasher.combine(digest) }
}
