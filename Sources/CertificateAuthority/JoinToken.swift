public import TLS

/// What a host without a certificate asks for its first one with: once, for one workload, of one authority. A value; its text is a secret.
///
/// The text: `skein-token-1:ID:EXPIRY:PIN:SECRET:IDENTITY` (docs/formats/ca-protocol.md).
public struct JoinToken: Sendable, Hashable {
    public static let textBytesMax = 4096
    static let marker = "skein-token-1"
    static let idBytes = 8
    static let secretBytes = 32

    /// Hexadecimal.
    public let id: String
    /// Seconds since 1970.
    public let expiresAt: Int64
    /// SHA-256 of the public key of the authority's root (SubjectPublicKeyInfo): whom the secret may be shown to.
    public let pin: [UInt8]
    /// Whoever has it is believed to be the workload.
    let secret: [UInt8]
    public let identity: SPIFFEID

    init(id: String, expiresAt: Int64, pin: [UInt8], secret: [UInt8], identity: SPIFFEID) {
        self.id = id
        self.expiresAt = expiresAt
        self.pin = pin
        self.secret = secret
        self.identity = identity
    }

    /// Reads a token's text; white space around it does not matter. Nil = it is none.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count <= Self.textBytesMax else { return nil }
        let first = bytes.firstIndex { $0 > 0x20 } ?? bytes.endIndex
        let last = bytes.lastIndex { $0 > 0x20 } ?? bytes.startIndex
        guard first <= last, first < bytes.endIndex else { return nil }
        let parts = bytes[first...last].split(separator: UInt8(ascii: ":"), maxSplits: 5, omittingEmptySubsequences: false)
        let texts = parts.map { String(decoding: $0, as: UTF8.self) }
        guard texts.count == 6, texts[0] == Self.marker, Hexadecimal.bytes(texts[1])?.count == Self.idBytes,
            let expiry = Int64(texts[2]), let pin = Hexadecimal.bytes(texts[3]), pin.count == SHA256.bytes,
            let secret = Hexadecimal.bytes(texts[4]), secret.count == Self.secretBytes,
            let identity = try? SPIFFEID(parts[5]), !identity.path.isEmpty
        else { return nil }
        self.init(id: texts[1], expiresAt: expiry, pin: pin, secret: secret, identity: identity)
    }

    /// Whoever has it can be the workload: it goes to the authority alone.
    public var text: String {
        [Self.marker, id, "\(expiresAt)", Hexadecimal.text(pin), Hexadecimal.text(secret), "\(identity)"].joined(separator: ":")
    }

    /// What the authority keeps of the secret: with 256 random bits, no salt and no slow hash is needed.
    var secretHash: [UInt8] { SHA256.digest(secret) }
}
