internal import Primitives

/// Groups of endpoints that one draw decides among.
struct EndpointGroupCompiler {
    let draft: SnapshotBuilder

    /// The group that a range of endpoints is; weights too large to add up are scaled down.
    func makeGroup(of range: TableRange) -> EndpointGroup {
        var group = EndpointGroup()
        group.endpoints = range
        let weights = range.indices.map { draft.endpoints[$0].weight }
        if weights.reduce(UInt64(0), { $0 + UInt64($1) }) > UInt64(UInt32.max) {
            for index in range.indices { draft.endpoints[index].weight = max(1, draft.endpoints[index].weight >> 16) }
        }
        group.totalWeight = UInt32(clamping: range.indices.reduce(UInt64(0)) { $0 + UInt64(draft.endpoints[$1].weight) })
        group.hasEqualWeights = weights.allSatisfy { $0 == weights.first }
        group.weightStride = Self.stride(coprimeTo: group.totalWeight)
        return group
    }

    func add(_ ranked: [(rank: EndpointRank, range: TableRange)]) -> TableRange {
        let start = draft.endpointGroups.count
        for (rank, range) in ranked {
            var group = makeGroup(of: range)
            group.priority = rank.priority
            group.localityWeight = rank.localityWeight
            draft.endpointGroups.add(group)
        }
        return draft.endpointGroups.range(from: start)
    }

    private static func stride(coprimeTo total: UInt32) -> UInt32 {
        guard total > 2 else { return 1 }
        // Near the golden section of the total, where consecutive steps land far apart.
        var stride = UInt32(Double(total) * 0.618)
        func divisor(_ left: UInt32, _ right: UInt32) -> UInt32 { right == 0 ? left : divisor(right, left % right) }
        while stride > 1, divisor(total, stride) != 1 { stride -= 1 }
        return max(1, stride)
    }
}
