internal import Primitives
internal import TLS

/// The TLS contexts of a worker's connections to endpoints. A slot stays what it is from one configuration to the next, as long as its key
/// does; its certificates may change. Confined to the worker's thread.
struct UpstreamSecurities {
    private struct Slot {
        var plan: UpstreamTLS
        var context: TLSContext?
        var problem: String?
        var revision: UInt64
        /// Of endpoints that gave tickets.
        var kept: [SocketEndpoint: KeptSession] = [:]

        /// What is kept of an endpoint, or will be.
        mutating func keptSession(_ endpoint: SocketEndpoint) -> KeptSession {
            if let known = kept[endpoint] { return known }
            if kept.count >= UpstreamSecurities.keptMax { kept.removeAll() }
            let fresh = KeptSession()
            kept[endpoint] = fresh
            return fresh
        }
    }

    /// Slots at once; endpoints beyond cannot be connected to.
    static let countMax = 4096

    /// Endpoints of one slot whose sessions are kept; when there are more, all begin anew.
    static let keptMax = 1024

    private var slots: [Slot] = []
    private var places: [String: Int] = [:]

    /// Takes a configuration's plan over. Returns the slot of each of its entries; −1 = there is no room. `keepsOld`: requests live under
    /// older configurations, whose slots stay.
    mutating func adopt(_ plan: SecurityPlan, keepsOld: Bool) -> [Int32] {
        let wanted = Set(plan.outbound.map(\.key))
        var free = keepsOld ? [] : slots.indices.filter { !wanted.contains(slots[$0].plan.key) }
        return plan.outbound.map { entry in
            let fresh = Slot(plan: entry, revision: plan.revision)
            if let known = places[entry.key] {
                // The same again costs no new context.
                if slots[known].revision != plan.revision { slots[known] = fresh }
                return Int32(clamping: known)
            }
            if let place = free.popLast() {
                places[slots[place].plan.key] = nil
                slots[place] = fresh
                places[entry.key] = place
                return Int32(clamping: place)
            }
            guard slots.count < Self.countMax else { return -1 }
            slots.append(fresh)
            places[entry.key] = slots.count - 1
            return Int32(clamping: slots.count - 1)
        }
    }

    /// A session for a connection that has just come about; nil = it cannot be made, and `problem` says why. `speaksHTTP1`: HTTP/1.1 is all
    /// that the connection is for, whatever its endpoint takes else.
    mutating func session(
        _ slot: Int, with endpoint: SocketEndpoint, descriptor: Int32, unixSeconds: Int64, speaksHTTP1: Bool = false
    ) -> TLSSession? {
        guard slots.indices.contains(slot) else { return nil }
        if slots[slot].context == nil, slots[slot].problem == nil {
            do throws(TLSError) {
                guard let settings = slots[slot].plan.settings else { throw TLSError(slots[slot].plan.problem) }
                slots[slot].context = try TLSContext(.client, settings)
            } catch {
                slots[slot].problem = error.description
            }
        }
        guard let context = slots[slot].context else { return nil }
        let plan = slots[slot].plan
        return TLSSession(
            context, descriptor: descriptor, serverName: plan.serverName, expecting: plan.expectation,
            protocols: speaksHTTP1 ? plan.protocolsOfHTTP1 : nil, resuming: slots[slot].keptSession(endpoint), now: unixSeconds)
    }

    /// What the authorities of a slot's endpoints have taken back; nil = nobody says.
    func revocations(_ slot: Int) -> RevocationLists? { slots.indices.contains(slot) ? slots[slot].plan.settings?.revocations : nil }

    /// Whether endpoints of this slot choose the version of HTTP.
    func choosesHTTP(_ slot: Int) -> Bool { slots.indices.contains(slot) && slots[slot].plan.choosesHTTP }

    func problem(_ slot: Int) -> String { slots.indices.contains(slot) ? slots[slot].problem ?? "" : "there are too many kinds of TLS" }
}
