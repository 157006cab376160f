internal import Primitives

/// Spans around a proxy's client span that paired: a table that forgets the oldest of a few, because nobody says when it may forget.
///
/// Hashes lie in sets of eight. A span is forgotten when eight newer ones fell into its set: with 65,536 places and five seconds between
/// the spans of a proxy and of its application, hardly ever at 1,000 calls a second, and once in 70 at 5,000.
struct ProxiedCalls {
    static let setSize = 8

    /// The newest of a set first; 0 = none.
    private var hashes: [UInt64] = []
    private let count: Int
    private let seed = ByteHash.seed

    /// `count` is a power of two, at least `setSize`.
    init(count: Int) { self.count = count }

    mutating func insert(_ id: CallID) {
        // Who has no proxies has no memory for them.
        if hashes.isEmpty { hashes = [UInt64](repeating: 0, count: count) }
        let hash = id.callHash(seed: seed)
        if hasCall(id) { return }
        let start = firstOfSet(hash)
        for index in (start + 1..<start + Self.setSize).reversed() { hashes[index] = hashes[index - 1] }
        hashes[start] = hash
    }

    func hasCall(_ id: CallID) -> Bool {
        if hashes.isEmpty { return false }
        let hash = id.callHash(seed: seed)
        let start = firstOfSet(hash)
        for index in start..<start + Self.setSize where hashes[index] == hash { return true }
        return false
    }

    private func firstOfSet(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (count - 1) & ~(Self.setSize - 1) }
}
