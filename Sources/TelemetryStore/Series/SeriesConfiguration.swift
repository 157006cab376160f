/// Named bounds of the series' formats and work.
enum SeriesLimits {
    /// Series whose samples lie in one block: neighbours by number.
    static let groupSeries: UInt32 = 512
    /// Values of one series in one entry of a block; more are several entries.
    static let trackValuesMax = 1 << 20
    /// Times of all columns of a block.
    static let blockTimesMax = 1 << 24
    /// Columns of a series: buckets, count and sum of the largest classic histogram.
    static let widthMax = 256
    /// Bytes of native histograms of one entry.
    static let nativeBytesMax = 64 << 20
    /// Rows of the journal that build on each other, so that a damaged one costs no more.
    static let generationRows = 16
    /// A row of the journal ends after this many points.
    static let rowPointsMax = 65_536
    /// Samples of a series that wait beside the head's blocks, about, before they are folded into one.
    static let pendingPerSeries = 4
    static let pendingPointsMin = 4096
    static let pendingSectionsMax = 2048
    /// Spans of a tier that one turn of maintenance makes or deletes at most.
    static let spansPerTurn = 4
    /// The highest number of a series, so that places behind it can be named.
    static let idMax = UInt32.max - 2 * groupSeries
    /// Labels that a report names of a family, and senders.
    static let guiltyMax = 20
    static let sendersMax = 5
    /// Families of a report.
    static let familiesMax = 1000
}

/// One tier of the series: how far apart its samples are, and how long they stay.
public struct SeriesTier: Sendable, Hashable {
    /// Width of a window, milliseconds; 0 = every sample as it came.
    public var resolution: Int64
    /// A block's span, milliseconds: a multiple of the window and of the span of the tier before.
    public var span: Int64
    /// Blocks whose span ended longer ago are deleted. Milliseconds; 0 = no limit.
    public var ageMax: Int64
    /// The oldest spans are deleted while the tier's blocks are larger. Bytes; 0 = no limit of its own.
    public var bytesMax: UInt64

    public init(resolution: Int64, span: Int64, ageMax: Int64, bytesMax: UInt64 = 0) {
        self.resolution = resolution
        self.span = span
        self.ageMax = ageMax
        self.bytesMax = bytesMax
    }
}

/// What a series store keeps and takes. Every bound that a user can set is here.
public struct SeriesConfiguration: Sendable {
    private static let minute: Int64 = 60_000
    private static let hour: Int64 = 3_600_000
    private static let day: Int64 = 86_400_000

    /// From fine to coarse; the first has every sample.
    public var tiers = [
        SeriesTier(resolution: 0, span: hour, ageMax: 2 * day),
        SeriesTier(resolution: minute, span: 2 * hour, ageMax: 31 * day),
        SeriesTier(resolution: hour, span: day, ageMax: 400 * day),
    ]
    /// A sample is taken when it comes this late, and perhaps later: spans are sealed so long after their end. Milliseconds.
    public var latenessMax: Int64 = 15 * minute
    /// Samples further in the future are refused. Milliseconds.
    public var aheadMax: Int64 = 10 * minute
    /// Series at once.
    public var seriesMax = 1_000_000
    /// Series of one metric name at once; what comes above is summed up in one series with the label `skein_overflow="true"`.
    public var familySeriesMax = 100_000
    /// Series above the bound of their family whose last values are remembered, so that totals stay exact; points of others are refused.
    public var overflowMembersMax = 200_000
    /// A series without samples for so long leaves its place in the family to another. Milliseconds.
    public var idleMax: Int64 = hour
    /// Senders of numbered reports that are remembered; the one that was silent longest is forgotten.
    public var sendersMax = 10_000
    /// Points accepted and not yet committed.
    public var queueBatchesMax = 1024
    public var queueBytesMax = 64 << 20
    /// Samples that one query may read.
    public var querySamplesMax = 50_000_000
    /// Of a span's blocks, as many as make a transaction: more would be in memory at once.
    var sliceBytes = 1 << 20
    /// Milliseconds since 1970.
    public var now: @Sendable () -> Int64 = { Int64(clamping: WallClock.nowMicroseconds() / 1000) }

    public init() {}

    public static let tiersMax = 6

    /// Tiers with spans that suit their windows: two of the span before at least, and 24 windows. From fine to coarse, the first of
    /// resolution 0; nil = a window is no multiple of the one before, or they are too many.
    public static func tiers(_ wanted: [(resolution: Int64, ageMax: Int64, bytesMax: UInt64)]) -> [SeriesTier]? {
        guard wanted.count <= tiersMax, wanted.allSatisfy({ (0...30 * day).contains($0.resolution) && $0.ageMax >= 0 }) else { return nil }
        var tiers: [SeriesTier] = []
        for (resolution, ageMax, bytesMax) in wanted {
            var span = tiers.last?.span ?? hour
            if resolution > 0 {
                let before = span
                while span % resolution != 0, span < 1000 * day { span += before }
                let common = span
                while span < 2 * before || span < 24 * resolution { span += common }
            }
            tiers.append(SeriesTier(resolution: resolution, span: span, ageMax: ageMax, bytesMax: bytesMax))
        }
        var configuration = SeriesConfiguration()
        configuration.tiers = tiers
        return configuration.areTiersValid ? tiers : nil
    }

    /// Whether the tiers build on each other: windows and spans are multiples of those before.
    public var areTiersValid: Bool {
        guard let first = tiers.first, first.resolution == 0, first.span > 0 else { return false }
        return zip(tiers, tiers.dropFirst()).allSatisfy { fine, coarse in
            coarse.resolution > fine.resolution && coarse.span > 0 && coarse.span % coarse.resolution == 0 && coarse.span % fine.span == 0
                && (fine.resolution == 0 || coarse.resolution % fine.resolution == 0)
        }
    }
}
