/// Named bounds of the segment format. What does not fit goes to a block's plain rows, slower and larger but complete.
struct SegmentLimits: Sendable {
    /// Of the tables of one segment while it is built. Readers accept what fits the standard values, and none may be larger.
    var stringsMax = 8192
    var stringBytesMax = 256 << 10
    var shapesMax = 2048
    var columnsMax = 512

    /// What every segment ever written fits.
    static let standard = SegmentLimits()

    static let payloadsPerShapeMax = 128
    static let autocompleteValuesMax = 1000
    static let blockSpansMax = 8192
    static let blockTextBytesMax = 1 << 30
    static let headerBytesMax = 16 << 20
    static let linksMax = 65_536
    /// Width of the dependency rollup's time buckets, microseconds.
    static let linkBucketMicroseconds: UInt64 = 60_000_000
}
