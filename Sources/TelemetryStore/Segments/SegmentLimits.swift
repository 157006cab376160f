/// Named bounds of the segment format. What does not fit goes to a block's plain rows, slower and larger but complete.
enum SegmentLimits {
    static let stringsMax = 8192
    static let stringBytesMax = 256 << 10
    static let shapesMax = 2048
    static let columnsMax = 512
    static let payloadsPerShapeMax = 128
    static let autocompleteValuesMax = 1000
    static let blockSpansMax = 8192
    static let blockTextBytesMax = 1 << 30
    static let headerBytesMax = 16 << 20
    static let linksMax = 65_536
    /// Width of the dependency rollup's time buckets, microseconds.
    static let linkBucketMicroseconds: UInt64 = 60_000_000
}
