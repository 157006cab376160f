internal import Glibc
internal import JOSE
internal import Matching
internal import Primitives

/// A token that was verified, with what it claims, in memory that is used again for the next.
struct VerifiedToken: ~Copyable {
    var token = ByteBuffer()
    var claims = ClaimsBuffer()
    /// The payload in `token`, as base64url.
    private(set) var payload = 0..<0
    /// Which set and rule took it, by which keys.
    private(set) var serial: UInt64 = 0
    private(set) var rule = 0
    private(set) var generation: UInt64 = 0
    var hash: UInt64 = 0
    private var expiry = Int64.max
    private var notBefore = Int64.min

    init() {}

    /// Bytes of memory.
    var capacity: Int { token.capacity + claims.capacity }

    mutating func note(
        _ reader: borrowing TokenReader, token bytes: LentBytes, serial: UInt64, rule: Int, generation: UInt64, hash: UInt64
    ) {
        token.clear()
        token.append(bytes)
        let first = bytes.index(of: UInt8(ascii: "."), from: 0)
        payload = first + 1..<max(first + 1, bytes.index(of: UInt8(ascii: "."), from: first + 1))
        self.serial = serial
        self.rule = rule
        self.generation = generation
        self.hash = hash
        expiry = reader.expiry ?? .max
        notBefore = reader.notBefore ?? .min
    }

    /// Whether it is still good: in time, under the same set and keys. The whole token is compared.
    func isGood(for bytes: LentBytes, serial: UInt64, unixSeconds now: Int64) -> Bool {
        guard serial == self.serial, token.count == bytes.count, Self.equal(token, bytes) else { return false }
        let skew = TokenLimits.clockSkewSeconds
        return (expiry == .max || now < expiry.addingReportingOverflow(skew).partialValue || expiry > .max - skew)
            && (notBefore == .min || notBefore <= now + skew)
    }

    /// All bytes, in the time that memcmp takes. A token is no secret that is guessed byte by byte: its signature was verified.
    private static func equal(_ token: borrowing ByteBuffer, _ bytes: LentBytes) -> Bool {
        guard let left = unsafe token.readable.baseAddress, let right = unsafe bytes.buffer.baseAddress else { return bytes.isEmpty }
        return unsafe memcmp(left, right, bytes.count) == 0
    }

    mutating func forget() {
        serial = 0
        hash = 0
    }
}
