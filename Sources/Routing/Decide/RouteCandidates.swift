internal import Primitives

/// Rules of a virtual host still to be tried for a request, in their order: all of them, or those that its `PathIndex` finds.
struct RouteCandidates {
    /// Found by the index, ascending; the first `count` count.
    private var found = InlineArray<32, UInt32>(repeating: 0)
    private var count = 0
    private var position = 0
    /// Rules that the index says nothing of.
    private var others = TableRange()
    /// Without an index: every rule.
    private var all: TableRange
    private var isIndexed = false

    init(_ host: VirtualHostEntry, path: LentBytes, _ tables: TableView) {
        all = host.routes
        guard host.index.isBuilt, find(host.index, path, tables) else { return }
        isIndexed = true
        others = host.index.others
    }

    /// The next rule to be tried; nil = no more.
    mutating func advance(_ tables: TableView) -> UInt32? {
        guard isIndexed else { return Self.takeFirst(&all) }
        let next = position < count ? found[position] : UInt32.max
        if others.count > 0 {
            let other = tables.rows.otherRoutes[others.start]
            if other < next {
                _ = Self.takeFirst(&others)
                return other
            }
        }
        guard position < count else { return nil }
        position += 1
        return next
    }

    private static func takeFirst(_ range: inout TableRange) -> UInt32? {
        guard range.count > 0 else { return nil }
        range.start += 1
        range.count -= 1
        return range.start - 1
    }

    /// False when there are too many.
    private mutating func find(_ index: PathIndex, _ path: LentBytes, _ tables: TableView) -> Bool {
        guard insertRules(index, PathIndex.hash(path, isExact: true), tables) else { return false }
        for place in index.lengths.indices {
            let length = Int(tables.rows.pathLengths[place])
            if length > path.count { break }
            guard insertRules(index, PathIndex.hash(path.prefix(length), isExact: false), tables) else { return false }
        }
        return true
    }

    /// Inserts the rules of a hash in order; false when there are too many.
    private mutating func insertRules(_ index: PathIndex, _ hash: UInt64, _ tables: TableView) -> Bool {
        let entries = tables.rows.pathEntries
        var low = entries.firstIndex(index.entries) { $0.hash >= hash }
        while low < index.entries.indices.upperBound, entries[low].hash == hash {
            let route = entries[low].rule
            low += 1
            var place = count
            while place > 0, found[place - 1] > route { place -= 1 }
            if place > 0, found[place - 1] == route { continue }
            guard count < PathIndex.candidatesMax else { return false }
            var shifted = count
            while shifted > place {
                found[shifted] = found[shifted - 1]
                shifted -= 1
            }
            found[place] = route
            count += 1
        }
        return true
    }
}
