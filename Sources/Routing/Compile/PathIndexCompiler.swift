internal import Matching
internal import Primitives

/// The index over the rules of a virtual host.
struct PathIndexCompiler {
    let draft: SnapshotBuilder

    /// `matches` of each rule are already in the tables.
    func buildIndex(over routes: TableRange) -> PathIndex {
        var index = PathIndex()
        guard routes.count >= PathIndex.rulesMin else { return index }
        var entries: [PathIndexEntry] = []
        var lengths: Set<UInt16> = []
        var others: [UInt32] = []
        for route in routes.indices {
            let range = draft.routes[route].matches
            guard range.count > 0, range.indices.allSatisfy({ Self.isLiteral(draft.matches[$0].path) }) else {
                others.append(UInt32(clamping: route))
                continue
            }
            for place in range.indices {
                let path = draft.matches[place].path
                let isExact = path.kind == .exact
                let hash = draft.matchers.withText(path) { PathIndex.hash($0, isExact: isExact) }
                entries.append(PathIndexEntry(hash: hash, rule: UInt32(clamping: route)))
                if !isExact { lengths.insert(UInt16(clamping: path.textCount)) }
            }
        }
        guard lengths.count <= PathIndex.lengthsMax, others.count < Int(routes.count) else { return index }
        entries.sort { ($0.hash, $0.rule) < ($1.hash, $1.rule) }
        index.entries = draft.pathEntries.add(contentsOf: entries)
        index.lengths = draft.pathLengths.add(contentsOf: lengths.sorted())
        index.others = draft.otherRoutes.add(contentsOf: others)
        index.isBuilt = true
        return index
    }

    private static func isLiteral(_ path: StringMatcher) -> Bool {
        (path.kind == .exact || path.kind == .prefix) && !path.ignoresCase && path.textCount <= Int(UInt16.max)
    }
}
