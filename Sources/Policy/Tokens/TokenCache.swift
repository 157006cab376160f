internal import Primitives

/// Tokens that were verified, of one worker: found by the hash of the whole token and compared byte for byte. Two places for each hash, so
/// that one client cannot push out another's by chance alone.
struct TokenCache: ~Copyable {
    private var tokens = Slab<VerifiedToken>(countMax: TokenLimits.cachedMax)
    private var places: [SlotID]
    private var bytes = 0

    private static let mask = TokenLimits.cachedMax / 2 - 1

    init() { places = Array(repeating: .none, count: TokenLimits.cachedMax) }

    /// The token, if it is remembered and still good.
    func find(_ bytes: LentBytes, hash: UInt64, serial: UInt64, unixSeconds: Int64) -> SlotID? {
        for place in Self.places(of: hash) {
            let id = places[place]
            if id.isNone || tokens[id].hash != hash { continue }
            if tokens[id].isGood(for: bytes, serial: serial, unixSeconds: unixSeconds) { return id }
        }
        return nil
    }

    private static func places(of hash: UInt64) -> ClosedRange<Int> {
        let first = (Int(truncatingIfNeeded: hash) & mask) * 2
        return first...first + 1
    }

    subscript(id: SlotID) -> VerifiedToken {
        _read { yield tokens[id] }
        _modify { yield &tokens[id] }
    }

    /// Remembers a token, in place of another one where both places are taken; nil = there is no room for it, and `token` stays whole.
    mutating func keep(_ token: inout VerifiedToken) -> SlotID? {
        let hash = token.hash
        let pair = Self.places(of: hash)
        let free = pair.first { places[$0].isNone || tokens[places[$0]].serial == 0 }
        // The other one of the two each time: a bit of the hash that the place does not depend on.
        let place = free ?? (hash >> 63 == 0 ? pair.lowerBound : pair.upperBound)
        var old = 0
        if !places[place].isNone { old = tokens[places[place]].capacity }
        guard bytes - old + token.capacity <= TokenLimits.cachedBytesMax else { return nil }
        if places[place].isNone {
            guard let id = tokens.insert(VerifiedToken()) else { return nil }
            places[place] = id
        }
        let id = places[place]
        swap(&tokens[id], &token)
        bytes += tokens[id].capacity - old
        return id
    }

    /// Forgets all; between two turns.
    mutating func clear() {
        for place in places.indices where !places[place].isNone {
            tokens.remove(places[place])
            places[place] = .none
        }
        bytes = 0
    }
}
