/// Bounds of what is read from outside. Sizes are bytes.
public struct JOSELimits: Sendable, Hashable {
    /// A whole token, as sent.
    public var tokenBytes = 16 << 10
    /// A token's header, decoded.
    public var headerBytes = 4 << 10
    /// Objects and lists inside of each other, in a header, a payload or a key set; the outermost counts. 1 to 255.
    public var depth = 32
    /// Values in a header or a payload, at all depths.
    public var tokenValues = 8192
    /// Members of one object.
    public var membersOfObject = 256
    /// Flattened claims that are kept of a payload; the rest is counted in `TokenReader.claimsLeftOut`.
    public var claims = 256
    /// A key set's JSON.
    public var keySetBytes = 1 << 20
    /// Values in a key set's JSON, at all depths.
    public var keySetValues = 256 << 10
    /// Keys that are kept of a set. `KeySet.problems` says how many were left out.
    public var keys = 512
    /// Lines in `KeySet.problems`.
    public var problems = 64
    /// A key's name (`kid`), in a token or a set.
    public var keyIDBytes = 1024

    public init() {}

    /// Keys of a set that are tried for one token. Each costs one verification.
    public static let keysTriedMax = 8
    /// Bits of an RSA modulus. Below the first a signature can be forged (RFC 7518 3.3); above the last, verifying takes too long.
    public static let rsaBits = 2048...8192
    /// Bits of an RSA exponent: verifying takes time in proportion.
    public static let rsaExponentBitsMax = 32
    /// A symmetric key. Each algorithm wants as many bytes as its hash has (RFC 7518 3.2).
    public static let secretBytes = 32...1024

    var header: JSONLimits { JSONLimits(bytes: headerBytes, depth: depth, values: tokenValues, membersOfObject: membersOfObject) }
    var payload: JSONLimits { JSONLimits(bytes: tokenBytes, depth: depth, values: tokenValues, membersOfObject: membersOfObject) }
    var keySet: JSONLimits { JSONLimits(bytes: keySetBytes, depth: depth, values: keySetValues, membersOfObject: membersOfObject) }
}
