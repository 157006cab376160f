/// A histogram whose bucket bounds follow from a schema, as a sample of a series: Prometheus' native histogram with numbers of float
/// (prometheus.io/docs/specs/native_histograms). OTLP's exponential histograms become one without loss at scales −4…8.
///
/// A value. What comes from the wire is checked by `isValid` before it is kept.
public struct NativeHistogram: Hashable, Sendable {
    /// Consecutive buckets: `length` of them, the first one `offset` buckets behind the end of the span before it (behind 0 for the first).
    public struct Span: Hashable, Sendable {
        public var offset: Int32
        public var length: UInt32

        public init(offset: Int32, length: UInt32) {
            self.offset = offset
            self.length = length
        }
    }

    /// What is known of a reset since the sample before this one (native histograms, "Counter reset considerations").
    public enum ResetHint: UInt8, Sendable {
        case unknown = 0
        case reset = 1
        case noReset = 2
        /// A gauge: its counts may fall.
        case gauge = 3
    }

    /// Exponential schemas: bounds at powers of 2^(2^−schema).
    public static let exponentialSchemas: ClosedRange<Int32> = -4...8
    /// Bounds are `customBounds`; there are no negative buckets and no zero bucket.
    public static let customSchema: Int32 = -53
    /// Buckets of a histogram, both signs together.
    public static let bucketsMax = 4096

    /// −4…8, or `customSchema`.
    public var schema: Int32
    /// Values from −zeroThreshold to zeroThreshold are in the zero bucket.
    public var zeroThreshold: Double
    public var zeroCount: Double
    /// Observations, those that are NaN included.
    public var count: Double
    public var sum: Double
    public var positiveSpans: [Span]
    /// One absolute count for each bucket of the spans, ascending.
    public var positiveCounts: [Double]
    public var negativeSpans: [Span]
    /// By the distance from zero, ascending.
    public var negativeCounts: [Double]
    /// Upper bounds of `customSchema`, ascending, without +Inf.
    public var customBounds: [Double]
    public var resetHint: ResetHint

    public init(
        schema: Int32 = 0, zeroThreshold: Double = 0, zeroCount: Double = 0, count: Double = 0, sum: Double = 0,
        positiveSpans: [Span] = [], positiveCounts: [Double] = [], negativeSpans: [Span] = [], negativeCounts: [Double] = [],
        customBounds: [Double] = [], resetHint: ResetHint = .unknown
    ) {
        self.schema = schema
        self.zeroThreshold = zeroThreshold
        self.zeroCount = zeroCount
        self.count = count
        self.sum = sum
        self.positiveSpans = positiveSpans
        self.positiveCounts = positiveCounts
        self.negativeSpans = negativeSpans
        self.negativeCounts = negativeCounts
        self.customBounds = customBounds
        self.resetHint = resetHint
    }

    /// Whether spans and counts agree, indices stay in Int32, bounds ascend, and the number of buckets is within `bucketsMax`.
    public var isValid: Bool {
        guard Self.exponentialSchemas.contains(schema) || schema == Self.customSchema else { return false }
        if schema == Self.customSchema {
            guard negativeSpans.isEmpty, negativeCounts.isEmpty, zeroCount == 0, customBounds.count < Self.bucketsMax,
                zip(customBounds, customBounds.dropFirst()).allSatisfy({ $0 < $1 })
            else { return false }
        } else {
            guard customBounds.isEmpty, zeroThreshold >= 0 else { return false }
        }
        guard positiveCounts.count + negativeCounts.count <= Self.bucketsMax else { return false }
        return Self.agree(positiveSpans, positiveCounts) && Self.agree(negativeSpans, negativeCounts)
    }

    private static func agree(_ spans: [Span], _ counts: [Double]) -> Bool {
        var index: Int64 = 0
        var buckets: Int64 = 0
        for (number, span) in spans.enumerated() {
            guard number == 0 || span.offset >= 0 else { return false }
            index += Int64(span.offset) + Int64(span.length)
            buckets += Int64(span.length)
            guard abs(index) <= Int64(Int32.max), buckets <= Int64(counts.count) else { return false }
        }
        return buckets == Int64(counts.count)
    }
}
