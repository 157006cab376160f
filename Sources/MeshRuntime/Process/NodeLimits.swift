/// Bounds of one process.
enum NodeLimits {
    /// Until then every worker has opened its listeners, or something is badly wrong.
    static let adoptionMilliseconds = 30_000
    /// Bytes of records that one worker may have waiting.
    static let ringBytes = 1 << 20
    /// RED series of all workers together; what is beyond is counted in overflow series. More would not fit one scrape.
    static let seriesMax = 4000
}
