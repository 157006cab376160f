public import HTTP
internal import MeshConfig
public import Primitives

/// What of a request decides its endpoint under consistent hashing, and the table that tells.
public struct HashPolicy: Sendable, BitwiseCopyable {
    public enum Key: UInt8, Sendable, BitwiseCopyable {
        case none, header, cookie, sourceIP, queryParameter
    }

    public var key = Key.none
    /// Of header (lower-case), cookie or parameter.
    var name = TableRange()
    /// Of a cookie that is made when the client brings none; empty = the whole site.
    var path = TableRange()
    /// What else such a cookie says, each with `; ` before it.
    var attributes = TableRange()
    /// Seconds such a cookie lives; -1 = none is made, 0 = as long as the client's session.
    public var cookieSeconds: Int64 = -1
    var isMaglev = false
    /// `RingEntry`s of a ring, or slots of a Maglev table.
    var table = TableRange()
}

/// A point of the ring: everything from the point before up to it goes to the endpoint.
struct RingEntry: Sendable, BitwiseCopyable {
    var hash: UInt64
    var endpoint: UInt32
}

extension RoutingTables {
    /// Every proxy must hash alike, so the seed is no secret.
    static var hashSeed: UInt64 { 0x2545_F491_4F6C_DD1D }

    /// The hash of what the policy looks at; nil = the request has no such thing.
    public func hash(_ policy: HashPolicy, _ head: borrowing MessageHead, query: UnsafeRawBufferPointer, source: SocketEndpoint) -> UInt64? {
        switch policy.key {
        case .none: return nil
        case .header:
            guard let value = unsafe head.value(named: bytes(policy.name)) else { return nil }
            return unsafe ByteHash.hash(value, seed: Self.hashSeed)
        case .cookie:
            guard let value = unsafe cookie(bytes(policy.name), head) else { return nil }
            return unsafe ByteHash.hash(value, seed: Self.hashSeed)
        case .sourceIP:
            // The client of a Unix socket has no address, as in Envoy.
            guard source.family != .absent else { return nil }
            return unsafe ByteHash.mix(source.high ^ Self.hashSeed, source.low | 1)
        case .queryParameter:
            guard let value = unsafe parameter(bytes(policy.name), query) else { return nil }
            return unsafe ByteHash.hash(value, seed: Self.hashSeed)
        }
    }

    /// The value of a made cookie, sixteen hexadecimal digits, hashes as it will when it comes back.
    public func hash(cookieValue digits: UnsafeRawBufferPointer) -> UInt64 { unsafe ByteHash.hash(digits, seed: Self.hashSeed) }

    public func cookieName(_ policy: HashPolicy) -> UnsafeRawBufferPointer { unsafe bytes(policy.name) }
    public func cookieAttributes(_ policy: HashPolicy) -> UnsafeRawBufferPointer { unsafe bytes(policy.attributes) }
    public func cookiePath(_ policy: HashPolicy) -> UnsafeRawBufferPointer { unsafe bytes(policy.path) }

    private func cookie(_ name: UnsafeRawBufferPointer, _ head: borrowing MessageHead) -> UnsafeRawBufferPointer? {
        for index in 0..<head.fieldCount where unsafe ASCII.equal(head.name(at: index), ignoringCase: "cookie") {
            let text = unsafe head.value(at: index)
            var start = 0
            while start < text.count {
                while start < text.count, unsafe text[start] == 32 || text[start] == UInt8(ascii: ";") { start += 1 }
                var end = start
                while end < text.count, unsafe text[end] != UInt8(ascii: ";") { end += 1 }
                if end - start > name.count, unsafe text[start + name.count] == UInt8(ascii: "="),
                    unsafe ASCII.equalIgnoringCase(UnsafeRawBufferPointer(rebasing: text[start..<start + name.count]), name)
                {
                    return unsafe UnsafeRawBufferPointer(rebasing: text[(start + name.count + 1)..<end])
                }
                start = end + 1
            }
        }
        return nil
    }

    func parameter(_ name: UnsafeRawBufferPointer, _ query: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var start = 1
        while start < query.count {
            var end = start
            while end < query.count, unsafe query[end] != UInt8(ascii: "&") { end += 1 }
            if end - start > name.count, unsafe query[start + name.count] == UInt8(ascii: "="),
                unsafe ASCII.equalIgnoringCase(UnsafeRawBufferPointer(rebasing: query[start..<start + name.count]), name)
            {
                return unsafe UnsafeRawBufferPointer(rebasing: query[(start + name.count + 1)..<end])
            }
            start = end + 1
        }
        return nil
    }

    /// The endpoint that a hash belongs to: the first available one from its place on; nil when none is.
    public func pick(hashed cluster: ClusterEntry, _ hash: UInt64, isAvailable: (Int) -> Bool) -> Int? {
        let table = cluster.hash.table
        guard table.count > 0 else { return nil }
        if cluster.hash.isMaglev {
            for attempt in 0..<table.count {
                let slot = (hash % UInt64(table.count) + UInt64(attempt)) % UInt64(table.count)
                let endpoint = unsafe Int(maglevSlots[Int(table.start) + Int(slot)])
                if isAvailable(endpoint) { return endpoint }
            }
            return nil
        }
        var low = table.indices.lowerBound
        var high = table.indices.upperBound
        while low < high {
            let middle = low + (high - low) / 2
            if unsafe ring[middle].hash < hash { low = middle + 1 } else { high = middle }
        }
        for step in 0..<Int(table.count) {
            var place = low + step
            if place >= table.indices.upperBound { place -= Int(table.count) }
            let endpoint = unsafe Int(ring[place].endpoint)
            if isAvailable(endpoint) { return endpoint }
        }
        return nil
    }
}

extension RouteCompiler {
    /// Entries of all rings and Maglev tables of a configuration; clusters beyond them are balanced by LEAST_REQUEST, which is said.
    static let hashEntriesMax = 8 << 20

    /// The ring or table of a cluster whose endpoints are `range` of the builder's.
    mutating func addHash(_ settings: ConsistentHashSettings, endpoints range: TableRange) -> HashPolicy {
        var policy = HashPolicy()
        switch settings.key {
        case .header(let name):
            policy.key = .header
            policy.name = builder.add(text: name.lowercased())
        case .cookie(let name, let path, let lifetime, let attributes):
            policy.key = .cookie
            policy.name = builder.add(text: name)
            policy.path = builder.add(text: path)
            let others = attributes.filter { $0.name.lowercased() != "httponly" }
            policy.attributes = builder.add(text: others.map { "; \($0.name)" + ($0.value.isEmpty ? "" : "=\($0.value)") }.joined())
            policy.cookieSeconds = lifetime.map { $0 / 1_000_000_000 } ?? -1
        case .sourceIP: policy.key = .sourceIP
        case .queryParameter(let name):
            policy.key = .queryParameter
            policy.name = builder.add(text: name)
        }
        guard range.count > 0 else { return policy }
        let weights = range.indices.map { UInt64(builder.endpoints[$0].weight) }
        let names = range.indices.map { Array(builder.endpoints[$0].address.description.utf8) }
        switch settings.algorithm {
        case .ring(let minimum): addRing(minimum, range, weights, names, &policy)
        case .maglev(let size): addMaglev(size, range, weights, names, &policy)
        }
        return policy
    }

    /// Points in proportion to the weights, at least `minimum` and at least one each; a point's place is the hash of its endpoint and number, so that an endpoint
    /// that goes takes only its own points along.
    private mutating func addRing(_ minimum: UInt64, _ range: TableRange, _ weights: [UInt64], _ names: [[UInt8]], _ policy: inout HashPolicy) {
        let total = max(1, weights.reduce(0, +))
        let wanted = max(min(minimum, 1 << 20), UInt64(range.count))
        var entries: [RingEntry] = []
        for (offset, index) in range.indices.enumerated() {
            let points = max(1, (wanted * weights[offset] + total - 1) / total)
            for point in 0..<points {
                let hash = unsafe names[offset].withUnsafeBytes { unsafe ByteHash.hash($0, seed: ByteHash.mix(point ^ RoutingTables.hashSeed, 0x9E37_79B9_7F4A_7C15)) }
                entries.append(RingEntry(hash: hash, endpoint: UInt32(clamping: index)))
            }
        }
        guard builder.ring.count + entries.count <= Self.hashEntriesMax else { return }
        entries.sort { ($0.hash, $0.endpoint) < ($1.hash, $1.endpoint) }
        let start = builder.ring.count
        builder.ring.append(contentsOf: entries)
        policy.table = builder.range(start, builder.ring.count)
    }

    /// The first prime that is not below a number.
    static func prime(from number: Int) -> Int {
        var candidate = max(2, number)
        while !(2...max(2, Int(Double(candidate).squareRoot()))).allSatisfy({ candidate == $0 || candidate % $0 != 0 }) { candidate += 1 }
        return candidate
    }

    /// Maglev (Eisenbud et al. 2016, 3.4): endpoints take turns, as often as their weight says, at claiming the next free slot of their own permutation.
    private mutating func addMaglev(_ size: UInt64, _ range: TableRange, _ weights: [UInt64], _ names: [[UInt8]], _ policy: inout HashPolicy) {
        // Only in a table of prime size does every permutation reach every slot; one with fewer slots than endpoints would forget some.
        let count = Self.prime(from: Int(max(min(size, 5_000_000), UInt64(range.count), 2)))
        guard builder.maglevSlots.count + count <= Self.hashEntriesMax else { return }
        policy.isMaglev = true
        var slots = [UInt32](repeating: .max, count: count)
        let heaviest = max(1, weights.max() ?? 1)
        var offsets: [UInt64] = []
        var skips: [UInt64] = []
        for name in names {
            let (first, second) = unsafe name.withUnsafeBytes { unsafe (ByteHash.hash($0, seed: RoutingTables.hashSeed), ByteHash.hash($0, seed: 0x1405_7B7E_F767_814F)) }
            offsets.append(first % UInt64(count))
            skips.append(second % UInt64(count - 1) + 1)
        }
        var next = [UInt64](repeating: 0, count: names.count)
        var credit = [UInt64](repeating: 0, count: names.count)
        var filled = 0
        while filled < count {
            for (offset, index) in range.indices.enumerated() where filled < count {
                credit[offset] += weights[offset]
                guard credit[offset] >= heaviest else { continue }
                credit[offset] -= heaviest
                var slot: Int
                repeat {
                    slot = Int((offsets[offset] + next[offset] * skips[offset]) % UInt64(count))
                    next[offset] += 1
                } while slots[slot] != .max
                slots[slot] = UInt32(clamping: index)
                filled += 1
            }
        }
        let start = builder.maglevSlots.count
        builder.maglevSlots.append(contentsOf: slots)
        policy.table = builder.range(start, builder.maglevSlots.count)
    }
}
