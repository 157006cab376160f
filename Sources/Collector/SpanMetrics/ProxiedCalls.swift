internal import Primitives

/// Spans around a proxy's client span that paired: a table that forgets the oldest of a few, because nobody says when it may forget.
///
/// Hashes lie in sets of sixteen, a line of the cache. A span is forgotten when sixteen newer ones fell into its set: with 32,768 places
/// and five seconds between the spans of a proxy and of its application, never at 1,000 calls a second, and once in six at 5,000.
struct ProxiedCalls {
    static let setSize = 16

    /// The newest of a set first; 0 = none.
    private var hashes: [UInt32] = []
    private let count: Int
    private let seed = ByteHash.seed

    /// `count` is a power of two, at least `setSize`.
    init(count: Int) { self.count = count }

    mutating func insert(_ id: CallID) {
        // Who has no proxies has no memory for them.
        if hashes.isEmpty { hashes = [UInt32](repeating: 0, count: count) }
        let hash = id.callHash(seed: seed)
        if hasCall(id) { return }
        let start = firstOfSet(hash)
        for index in (start + 1..<start + Self.setSize).reversed() { hashes[index] = hashes[index - 1] }
        hashes[start] = Self.tag(hash)
    }

    func hasCall(_ id: CallID) -> Bool {
        if hashes.isEmpty { return false }
        let hash = id.callHash(seed: seed)
        let (start, tag) = (firstOfSet(hash), Self.tag(hash))
        for index in start..<start + Self.setSize where hashes[index] == tag { return true }
        return false
    }

    /// The half of a hash that does not choose the set; never 0.
    private static func tag(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash >> 32) | 1 }

    private func firstOfSet(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (count - 1) & ~(Self.setSize - 1) }
}
