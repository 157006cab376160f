internal import MeshConfig
internal import Primitives

/// Rings and Maglev tables of consistent hashing.
struct HashTableCompiler {
    /// Entries of all rings and Maglev tables of a configuration; clusters beyond them are balanced by LEAST_REQUEST, which is said.
    static let entriesMax = 8 << 20

    let draft: SnapshotBuilder

    /// The ring or table of a cluster with these endpoints.
    func compileHash(_ settings: ConsistentHashSettings, endpoints range: TableRange) -> HashPolicy {
        var policy = hashKey(settings)
        guard range.count > 0 else { return policy }
        let members = range.indices.map { index in
            let entry = draft.endpoints[index]
            return Member(index: UInt32(clamping: index), weight: UInt64(entry.weight), name: Array(entry.address.description.utf8))
        }
        switch settings.algorithm {
        case .ring(let minimum): policy.table = addRing(minimum, members)
        case .maglev(let size):
            if let table = addMaglev(size, members) {
                policy.isMaglev = true
                policy.table = table
            }
        }
        return policy
    }

    private struct Member {
        var index: UInt32
        var weight: UInt64
        /// What is hashed of it.
        var name: [UInt8]

        func hash(seed: UInt64) -> UInt64 { unsafe name.withUnsafeBytes { unsafe ByteHash.hash($0, seed: seed) } }
    }

    private func hashKey(_ settings: ConsistentHashSettings) -> HashPolicy {
        var policy = HashPolicy()
        switch settings.key {
        case .header(let name):
            policy.key = .header
            policy.name = draft.text.add(text: name.lowercased())
        case .cookie(let name, let path, let lifetime, let attributes):
            policy.key = .cookie
            policy.name = draft.text.add(text: name)
            policy.path = draft.text.add(text: path)
            let others = attributes.filter { $0.name.lowercased() != "httponly" }
            policy.attributes = draft.text.add(text: others.map { "; \($0.name)" + ($0.value.isEmpty ? "" : "=\($0.value)") }.joined())
            policy.cookieSeconds = lifetime.map { $0 / 1_000_000_000 } ?? -1
        case .sourceIP: policy.key = .sourceIP
        case .queryParameter(let name):
            policy.key = .queryParameter
            policy.name = draft.text.add(text: name)
        }
        return policy
    }

    /// Points in proportion to the weights, at least `minimum` and at least one each; a point's place is the hash of its endpoint and
    /// number, so that an endpoint that goes takes only its own points along.
    private func addRing(_ minimum: UInt64, _ members: [Member]) -> TableRange {
        let total = max(1, members.reduce(0) { $0 + $1.weight })
        let wanted = max(min(minimum, 1 << 20), UInt64(members.count))
        var entries: [RingEntry] = []
        for member in members {
            let points = max(1, (wanted * member.weight + total - 1) / total)
            for point in 0..<points {
                let hash = member.hash(seed: ByteHash.mix(point ^ HashPolicy.seed, 0x9E37_79B9_7F4A_7C15))
                entries.append(RingEntry(hash: hash, endpoint: member.index))
            }
        }
        guard draft.ring.count + entries.count <= Self.entriesMax else { return TableRange() }
        entries.sort { ($0.hash, $0.endpoint) < ($1.hash, $1.endpoint) }
        return draft.ring.add(contentsOf: entries)
    }

    /// The first prime that is not below a number.
    private static func prime(from number: Int) -> Int {
        var candidate = max(2, number)
        while !(2...max(2, Int(Double(candidate).squareRoot()))).allSatisfy({ candidate == $0 || candidate % $0 != 0 }) { candidate += 1 }
        return candidate
    }

    /// Maglev (Eisenbud et al. 2016, 3.4): endpoints take turns, as often as their weight says, at claiming the next free slot of their own
    /// permutation.
    /// Nil = there is no room for it.
    private func addMaglev(_ size: UInt64, _ members: [Member]) -> TableRange? {
        // Only in a table of prime size does every permutation reach every slot; one with fewer slots than endpoints would forget some.
        let count = Self.prime(from: Int(max(min(size, 5_000_000), UInt64(members.count), 2)))
        guard draft.maglevSlots.count + count <= Self.entriesMax else { return nil }
        var slots = [UInt32](repeating: .max, count: count)
        let heaviest = max(1, members.map(\.weight).max() ?? 1)
        let offsets = members.map { $0.hash(seed: HashPolicy.seed) % UInt64(count) }
        let skips = members.map { $0.hash(seed: 0x1405_7B7E_F767_814F) % UInt64(count - 1) + 1 }
        var next = [UInt64](repeating: 0, count: members.count)
        var credit = [UInt64](repeating: 0, count: members.count)
        var filled = 0
        while filled < count {
            for place in members.indices where filled < count {
                credit[place] += members[place].weight
                guard credit[place] >= heaviest else { continue }
                credit[place] -= heaviest
                var slot: Int
                repeat {
                    slot = Int((offsets[place] + next[place] * skips[place]) % UInt64(count))
                    next[place] += 1
                } while slots[slot] != .max
                slots[slot] = members[place].index
                filled += 1
            }
        }
        return draft.maglevSlots.add(contentsOf: slots)
    }
}
