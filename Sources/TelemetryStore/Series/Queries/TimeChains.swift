/// Columns of times that the series of a group have, each put together of its blocks' columns. Series that were sampled together, as most
/// were, share one column: it is made once, and whoever computes with it can see that it is the same.
struct TimeChains {
    /// A chain without times.
    static let empty = -1

    private struct ChainLink {
        /// The chain that this one continues.
        var before: Int
        var times: [Int64]
        /// The chain that continued this one last.
        var next = TimeChains.empty
        /// All times of the chain, once they were asked for.
        var column: [Int64] = []
    }

    private var links: [ChainLink] = []
    private var first = TimeChains.empty

    /// The chain with these times behind those that it has. Costs nothing more when the last one that continued it has the same.
    mutating func append(_ times: [Int64], to chain: Int) -> Int {
        guard !times.isEmpty else { return chain }
        let known = chain == Self.empty ? first : links[chain].next
        if known != Self.empty, links[known].times == times { return known }
        links.append(ChainLink(before: chain, times: times))
        if chain == Self.empty { first = links.count - 1 } else { links[chain].next = links.count - 1 }
        return links.count - 1
    }

    /// All times of a chain.
    mutating func column(_ chain: Int) -> [Int64] {
        guard chain != Self.empty else { return [] }
        if links[chain].column.isEmpty { links[chain].column = joined(chain) }
        return links[chain].column
    }

    private func joined(_ chain: Int) -> [Int64] {
        var parts: [Int] = []
        var at = chain
        while at != Self.empty {
            parts.append(at)
            at = links[at].before
        }
        var column: [Int64] = []
        column.reserveCapacity(parts.reduce(0) { $0 + links[$1].times.count })
        for part in parts.reversed() { column.append(contentsOf: links[part].times) }
        return column
    }
}
