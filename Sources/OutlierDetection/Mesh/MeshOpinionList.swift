internal import Primitives

/// All that one reporter last said of one cluster's endpoints, side by side in the order in which it named them first.
///
/// A reporter names endpoints in the same order each time, so the next one's opinion is the next in memory, and nothing is hashed. With an
/// opinion in each endpoint's own list, most of what a report cost was waiting for memory (docs/measurements.md).
struct MeshOpinionList: Sendable {
    /// How many endpoints in a row a report may pass over until its next one is looked up: those without attempts are not reported. Lists
    /// that are no longer than this are never hashed.
    private static let passedOverMax = 16

    let reporter: UInt32
    /// Reporters with the same number have one voice together.
    let group: UInt32
    private(set) var opinions: [MeshOpinion] = []
    /// All opinions by slot, made once in a window in which an endpoint is named out of order; nil = nobody needed it. Kept from report to
    /// report, so that many that name one endpoint each do not make it anew each time.
    private var places: [UInt32: Int]?

    init(reporter: UInt32, group: UInt32) {
        self.reporter = reporter
        self.group = group
    }

    /// How many more endpoints and opinions there may be of all clusters.
    struct Room {
        var endpoints: Int
        var opinions: Int
    }

    /// Adds what the reporter saw in the window that runs. Cost: what is in it, and once a window all opinions where the order is another.
    /// Returns how much was beyond the limits.
    mutating func take(
        _ seen: borrowing MeshReport.Cluster, into endpoints: inout MeshEndpointTable, window: UInt64, isStale: Bool, endpointsMax: Int,
        room: inout Room
    ) -> UInt64 {
        let listed = seen.endpoints.span
        var beyond: UInt64 = 0
        var next = 0
        for place in 0..<min(listed.count, endpointsMax) {
            let address = listed[place].address
            var slot = -1
            var known: Int?
            if next < opinions.count, endpoints.address(at: Int(opinions[next].slot)) == address {
                slot = Int(opinions[next].slot)
                known = next
            } else if let there = endpoints.slot(of: address) {
                slot = there
                known = find(UInt32(there), from: next)
            } else {
                // Whoever was never there cannot have left.
                if listed[place].isAbsent { continue }
                guard room.endpoints > 0 else {
                    beyond &+= 1
                    continue
                }
                room.endpoints -= 1
                slot = endpoints.add(address)
            }
            // Of a stale one, only what local detection has out is so now.
            endpoints[slot].take(listed[place], window: window, isStale: isStale)
            if known == nil {
                guard room.opinions > 0 else {
                    beyond &+= 1
                    continue
                }
                room.opinions -= 1
                known = opinions.count
                places?[UInt32(slot)] = opinions.count
                opinions.append(MeshOpinion(reporter: reporter, group: group, slot: UInt32(slot), window: window))
            }
            guard let known else { continue }
            opinions[known].take(listed[place], window: window, isStale: isStale)
            next = known + 1
        }
        return beyond
    }

    /// Looks at what follows `next`, around the end, before it hashes.
    private mutating func find(_ slot: UInt32, from next: Int) -> Int? {
        var place = next
        for _ in 0..<min(opinions.count, Self.passedOverMax) {
            if place >= opinions.count { place = 0 }
            if opinions[place].slot == slot { return place }
            place += 1
        }
        if opinions.count <= Self.passedOverMax { return nil }
        if places == nil {
            places = Dictionary(opinions.indices.map { (opinions[$0].slot, $0) }, uniquingKeysWith: { first, _ in first })
        }
        return places?[slot]
    }

    /// The window before `window` ends: what does not hold any more goes, and so does what was said of the slots in `forgotten`.
    mutating func endWindow(next window: UInt64, forgotten: Set<Int>) {
        places = nil
        opinions.removeAll { !$0.holds(at: window) || !forgotten.isEmpty && forgotten.contains(Int($0.slot)) }
    }
}
