internal import Primitives

extension TableView {
    /// A draw in 0 ..< total, walked along the cumulative weights (semantics 2.6). The index of the destination.
    func drawDestination(_ range: TableRange, totalWeight: UInt32, _ draw: inout RandomSource) -> UInt32 {
        if range.count == 1 { return range.start }
        var rest = draw.below(totalWeight)
        for index in range.indices {
            let weight = rows.destinations[index].weight
            if rest < weight { return UInt32(clamping: index) }
            rest -= weight
        }
        return range.start
    }
}
