internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// The catalogue's names as a table that is read without a lock, made anew when names were added (which configurations do).
struct NameCache {
    private let catalogs: Catalogs
    private(set) var table = NameTable([])
    private var count: UInt32 = 1

    init(_ catalogs: Catalogs) { self.catalogs = catalogs }

    /// Makes sure that the names of `record` are in `table`.
    @inline(__always)
    mutating func resolve(_ record: borrowing RequestRecord) {
        if max(record.route.rawValue, record.cluster.rawValue) >= count { refresh() }
    }

    mutating func refresh() {
        let known = UInt32(clamping: catalogs.names.count)
        guard known > count else { return }
        table = NameTable((1..<known).map { catalogs.names.value($0) })
        count = known
    }
}

/// A `NameCache` for any thread.
final class CatalogNames: Sendable {
    private let cache: Mutex<NameCache>

    init(_ catalogs: Catalogs) { cache = Mutex(NameCache(catalogs)) }

    /// Everything interned up to now.
    func current() -> NameTable {
        cache.withLock { cache in
            cache.refresh()
            return cache.table
        }
    }
}
