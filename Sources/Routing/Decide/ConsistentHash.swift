public import HTTP
public import Primitives

extension RoutingTables {
    /// The hash of what the policy looks at; nil = the request has no such thing.
    public func hash(
        _ policy: HashPolicy, _ head: borrowing MessageHead, query: LentBytes, source: SocketEndpoint
    ) -> UInt64? {
        view.hashKey(policy, head, query: query, source: source)
    }

    /// The value of a made cookie, sixteen hexadecimal digits, hashes as it will when it comes back.
    public func hash(cookieValue digits: LentBytes) -> UInt64 { digits.hash(seed: HashPolicy.seed) }

    public func cookieName(_ policy: HashPolicy) -> LentBytes { view.bytes(policy.name) }
    public func cookieAttributes(_ policy: HashPolicy) -> LentBytes { view.bytes(policy.attributes) }
    public func cookiePath(_ policy: HashPolicy) -> LentBytes { view.bytes(policy.path) }

    /// The endpoint that a hash belongs to: the first available one from its place on; nil when none is.
    public func pick(hashed cluster: ClusterEntry, _ hash: UInt64, isAvailable: (Int) -> Bool) -> Int? {
        let table = cluster.hash.table
        guard table.count > 0 else { return nil }
        return cluster.hash.isMaglev ? view.pickFromMaglev(table, hash, isAvailable) : view.pickFromRing(table, hash, isAvailable)
    }
}

extension TableView {
    func hashKey(_ policy: HashPolicy, _ head: borrowing MessageHead, query: LentBytes, source: SocketEndpoint) -> UInt64? {
        switch policy.key {
        case .none: return nil
        case .header: return head.bytes(named: bytes(policy.name))?.hash(seed: HashPolicy.seed)
        case .cookie: return cookieValue(bytes(policy.name), head)?.hash(seed: HashPolicy.seed)
        case .sourceIP:
            // The client of a Unix socket has no address, as in Envoy.
            guard source.family != .absent else { return nil }
            return ByteHash.mix(source.high ^ HashPolicy.seed, source.low | 1)
        case .queryParameter: return parameter(bytes(policy.name), query)?.hash(seed: HashPolicy.seed)
        }
    }

    /// The value of a cookie, from all `Cookie` fields (RFC 6265 4.2.1).
    private func cookieValue(_ name: LentBytes, _ head: borrowing MessageHead) -> LentBytes? {
        let separator = UInt8(ascii: ";")
        for index in 0..<head.fieldCount where head.isNamed("cookie", at: index) {
            let text = head.bytes(at: index)
            var start = 0
            while start < text.count {
                while start < text.count, text[start] == 32 || text[start] == separator { start += 1 }
                let end = text.index(of: separator, from: start)
                let pair = text[start..<end]
                if pair.count > name.count, pair[name.count] == UInt8(ascii: "="), pair.prefix(name.count).equalsIgnoringCase(name) {
                    return pair.from(name.count + 1)
                }
                start = end + 1
            }
        }
        return nil
    }

    func pickFromMaglev(_ table: TableRange, _ hash: UInt64, _ isAvailable: (Int) -> Bool) -> Int? {
        for attempt in 0..<table.count {
            let slot = (hash % UInt64(table.count) + UInt64(attempt)) % UInt64(table.count)
            let endpoint = Int(rows.maglevSlots[Int(table.start) + Int(slot)])
            if isAvailable(endpoint) { return endpoint }
        }
        return nil
    }

    func pickFromRing(_ table: TableRange, _ hash: UInt64, _ isAvailable: (Int) -> Bool) -> Int? {
        let first = rows.ring.firstIndex(table) { $0.hash >= hash }
        for step in 0..<Int(table.count) {
            var place = first + step
            if place >= table.indices.upperBound { place -= Int(table.count) }
            let endpoint = Int(rows.ring[place].endpoint)
            if isAvailable(endpoint) { return endpoint }
        }
        return nil
    }
}
