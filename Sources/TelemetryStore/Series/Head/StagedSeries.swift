import TelemetryModel

/// Series that a group commit meets for the first time: they have numbers, and are in the index once they are committed.
struct StagedSeries {
    struct Entry {
        var id: UInt32
        var identity: SeriesIdentityReader
        var hash: UInt64
        var family: [UInt8]
        var first: Int64
        /// Numbers of its pieces, which the index has.
        var pieces: [UInt32]
    }

    private(set) var entries: [Entry] = []
    private var byHash: [UInt64: [Int]] = [:]

    var isEmpty: Bool { entries.isEmpty }

    func find(_ hash: UInt64, _ bytes: ArraySlice<UInt8>) -> UInt32? {
        guard !entries.isEmpty, let indices = byHash[hash] else { return nil }
        return indices.first { entries[$0].identity.bytes.elementsEqual(bytes) }.map { entries[$0].id }
    }

    mutating func append(_ entry: Entry) {
        byHash[entry.hash, default: []].append(entries.count)
        entries.append(entry)
    }

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        byHash.removeAll(keepingCapacity: true)
    }
}
