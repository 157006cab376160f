internal import Primitives

/// The endpoints of one cluster, each in a slot of its own for as long as it is known: opinions name slots, and find an endpoint without
/// hashing its address. Pure; as large as `MeshLimits.endpointsMax` lets it become.
struct MeshEndpointTable: Sendable {
    private struct Row: Sendable {
        var address: SocketEndpoint
        var endpoint = MeshEndpoint()
    }

    /// Index = slot; those in `free` have no address.
    private var rows: [Row] = []
    private var slots: [SocketEndpoint: Int] = [:]
    private var free: [Int] = []

    var count: Int { slots.count }

    func slot(of address: SocketEndpoint) -> Int? { slots[address] }

    func address(at slot: Int) -> SocketEndpoint { rows[slot].address }

    subscript(slot: Int) -> MeshEndpoint {
        _read { yield rows[slot].endpoint }
        _modify { yield &rows[slot].endpoint }
    }

    /// `address` must not be there.
    mutating func add(_ address: SocketEndpoint) -> Int {
        assert(slots[address] == nil, "an endpoint has one slot")
        let slot = free.popLast() ?? rows.count
        if slot == rows.count { rows.append(Row(address: address)) } else { rows[slot].address = address }
        slots[address] = slot
        return slot
    }

    /// The slot may be another endpoint's from now on: whoever calls this lets no opinion of it stay beyond the window's end.
    mutating func remove(_ slot: Int) {
        slots[rows[slot].address] = nil
        rows[slot] = Row(address: SocketEndpoint())
        free.append(slot)
    }

    /// Slots in the order of their addresses.
    func ordered(where isWanted: (MeshEndpoint) -> Bool = { _ in true }) -> [Int] {
        slots.values.filter { isWanted(rows[$0].endpoint) }.sorted { SocketEndpoint.isOrdered(rows[$0].address, rows[$1].address) }
    }
}

extension SocketEndpoint {
    static func isOrdered(_ left: SocketEndpoint, _ right: SocketEndpoint) -> Bool {
        (left.high, left.low, left.port) < (right.high, right.low, right.port)
    }
}
