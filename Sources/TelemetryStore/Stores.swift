/// What a process keeps: one file, and a store for each set of tables in it. Any thread may call it.
///
/// A further set is made before the file is opened, listed with the others, and its store is one more property.
public struct Stores: Sendable {
    private let file: StoreFile
    public let traces: TraceStore
    public let series: SeriesStore

    /// Opens or creates the file in `configuration.directory`, with all its tables. Errors: `.locked`, `.directory`, `.newerSchema`,
    /// `.diskFull`, `.sqlite`.
    public static func open(
        _ configuration: StoreConfiguration, _ series: SeriesConfiguration = SeriesConfiguration()
    ) throws(StoreError) -> Stores {
        let traces = TraceTables(configuration)
        let seriesTables = SeriesTables(series, path: configuration.databasePath, earliestTrace: { traces.earliestMilliseconds })
        let file = try StoreFile.open(configuration, [traces, seriesTables])
        return Stores(file: file, traces: TraceStore(file, traces), series: SeriesStore(seriesTables, file))
    }

    /// As `TraceStore.close`, of everything. Closing twice is harmless.
    public func close() { file.close() }
}
