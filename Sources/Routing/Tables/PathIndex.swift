internal import MeshConfig
internal import Primitives

/// Finds the rules of a virtual host whose literal path condition can hold, without trying them all: a sorted table of hashes of exact paths and of prefixes, and the few
/// lengths that the prefixes have. Rules with any other first condition are tried in their order as ever, so that the first match stays the first match.
struct PathIndex: Sendable, BitwiseCopyable {
    /// Of `PathIndexEntry`, by hash and then by rule.
    var entries = TableRange()
    /// Lengths of prefixes, ascending.
    var lengths = TableRange()
    /// Rules without a literal path, ascending.
    var others = TableRange()
    /// Whether there is one: few rules are tried faster than looked up.
    var isBuilt = false

    /// Rules below which no index is built.
    static let rulesMin = 12
    /// Distinct prefix lengths; a virtual host with more goes without an index.
    static let lengthsMax = 64
    /// Rules that one path may find; with more, all are tried.
    static let candidatesMax = 32
}

struct PathIndexEntry: Sendable, BitwiseCopyable {
    var hash: UInt64
    var route: UInt32
}

/// Rules still to be tried for a request.
struct RouteCandidates {
    var found = InlineArray<32, UInt32>(repeating: 0)
    var count = 0
    var position = 0
    var others = TableRange()
    /// Without an index: every rule.
    var all: TableRange
    var isIndexed = false

    init(all: TableRange) { self.all = all }
}

extension RoutingTables {
    /// The rules that may take the path; `next` gives them in their order.
    func candidates(_ host: VirtualHostEntry, path: UnsafeRawBufferPointer) -> RouteCandidates {
        var result = RouteCandidates(all: host.routes)
        guard host.index.isBuilt else { return result }
        var count = unsafe add(host.index, Self.hash(path, isExact: true), to: &result.found, 0)
        for place in host.index.lengths.indices {
            let length = unsafe Int(pathLengths[place])
            if length > path.count || count < 0 { break }
            count = unsafe add(host.index, Self.hash(UnsafeRawBufferPointer(rebasing: path[..<length]), isExact: false), to: &result.found, count)
        }
        guard count >= 0 else { return result }
        result.isIndexed = true
        result.count = count
        result.others = host.index.others
        return result
    }

    func next(_ candidates: inout RouteCandidates) -> UInt32? {
        guard candidates.isIndexed else {
            guard candidates.all.count > 0 else { return nil }
            let route = candidates.all.start
            candidates.all.start += 1
            candidates.all.count -= 1
            return route
        }
        let found = candidates.position < candidates.count ? candidates.found[candidates.position] : UInt32.max
        if candidates.others.count > 0 {
            let other = unsafe otherRoutes[Int(candidates.others.start)]
            if other < found {
                candidates.others.start += 1
                candidates.others.count -= 1
                return other
            }
        }
        guard candidates.position < candidates.count else { return nil }
        candidates.position += 1
        return found
    }

    /// Inserts the rules of a hash in order; the new count, or -1 when there are too many.
    private func add(_ index: PathIndex, _ hash: UInt64, to found: inout InlineArray<32, UInt32>, _ count: Int) -> Int {
        var low = index.entries.indices.lowerBound
        var high = index.entries.indices.upperBound
        let end = high
        while low < high {
            let middle = low + (high - low) / 2
            if unsafe pathEntries[middle].hash < hash { low = middle + 1 } else { high = middle }
        }
        var count = count
        while low < end, unsafe pathEntries[low].hash == hash {
            let route = unsafe pathEntries[low].route
            low += 1
            var place = count
            while place > 0, found[place - 1] > route { place -= 1 }
            if place > 0, found[place - 1] == route { continue }
            guard count < PathIndex.candidatesMax else { return -1 }
            var shifted = count
            while shifted > place {
                found[shifted] = found[shifted - 1]
                shifted -= 1
            }
            found[place] = route
            count += 1
        }
        return count
    }

    static func hash(_ bytes: UnsafeRawBufferPointer, isExact: Bool) -> UInt64 {
        unsafe ByteHash.hash(bytes, seed: isExact ? 0x5851_F42D_4C95_7F2D : 0x1405_7B7E_F767_814F)
    }
}

extension SnapshotBuilder {
    /// The index over the rules of a virtual host; `matches` of each are already in the tables.
    mutating func addPathIndex(over routes: TableRange) -> PathIndex {
        var index = PathIndex()
        guard routes.count >= PathIndex.rulesMin else { return index }
        var entries: [PathIndexEntry] = []
        var lengths: Set<UInt16> = []
        var others: [UInt32] = []
        for route in routes.indices {
            let range = self.routes[route].matches
            let isLiteral = range.count > 0 && range.indices.allSatisfy { place in
                let path = matches[place].path
                return (path.kind == .exact || path.kind == .prefix) && !path.ignoresCase && path.text.count <= UInt32(UInt16.max)
            }
            guard isLiteral else {
                others.append(UInt32(clamping: route))
                continue
            }
            for place in range.indices {
                let path = matches[place].path
                let isExact = path.kind == .exact
                let hash = unsafe text[path.text.indices].withUnsafeBytes { unsafe RoutingTables.hash($0, isExact: isExact) }
                entries.append(PathIndexEntry(hash: hash, route: UInt32(clamping: route)))
                if !isExact { lengths.insert(UInt16(clamping: path.text.count)) }
            }
        }
        guard lengths.count <= PathIndex.lengthsMax, others.count < Int(routes.count) else { return index }
        entries.sort { ($0.hash, $0.route) < ($1.hash, $1.route) }
        let entryStart = pathEntries.count
        pathEntries.append(contentsOf: entries)
        index.entries = range(entryStart, pathEntries.count)
        let lengthStart = pathLengths.count
        pathLengths.append(contentsOf: lengths.sorted())
        index.lengths = range(lengthStart, pathLengths.count)
        let otherStart = otherRoutes.count
        otherRoutes.append(contentsOf: others)
        index.others = range(otherStart, otherRoutes.count)
        index.isBuilt = true
        return index
    }
}
