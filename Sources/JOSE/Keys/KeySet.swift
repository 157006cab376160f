public import Primitives
internal import COpenSSL

/// The public keys of an issuer (JWK Set, RFC 7517 5), or its shared secret. Immutable.
///
/// `@unchecked Sendable`: nothing of it changes, and OpenSSL counts references of keys atomically.
@safe
public final class KeySet: @unchecked Sendable {
    @safe struct Entry {
        /// In `names`.
        var keyID: Range<Int>
        var algorithms: SigningAlgorithms
        /// Nil for HMAC. Freed with the set.
        var publicKey: OpaquePointer?
        /// In `secrets`; empty but for HMAC.
        var secret: Range<Int>
    }

    /// What people want to know of a key.
    public struct Summary: Sendable, Hashable {
        /// nil = the key has none. Control characters are escaped, and long names shortened.
        public var keyID: String?
        /// `RSA 2048`, `P-256`, `Ed25519`, `oct 256`.
        public var kind: String
        /// What it verifies: `RS256`. An RSA key without `alg` has six.
        public var algorithms: [SigningAlgorithm]
    }

    let entries: [Entry]
    let names: [UInt8]
    let secrets: [UInt8]
    public let summaries: [Summary]
    /// For people: which keys were left out, and what is odd about the others. At most `JOSELimits.problems` lines.
    public let problems: [String]

    init(_ entries: [Entry], names: [UInt8], secrets: [UInt8], summaries: [Summary], problems: [String]) {
        self.entries = entries
        self.names = names
        self.secrets = secrets
        self.summaries = summaries
        self.problems = problems
    }

    deinit {
        for entry in entries { unsafe EVP_PKEY_free(entry.publicKey) }
    }

    /// Keys that can be used. At least one.
    public var count: Int { entries.count }

    /// Whether a key of that name is in the set.
    public func hasKey(_ keyID: LentBytes) -> Bool {
        for index in entries.indices where isNamed(index, keyID) { return true }
        return false
    }

    func isNamed(_ index: Int, _ keyID: LentBytes) -> Bool {
        let range = entries[index].keyID
        guard range.count == keyID.count else { return false }
        for place in 0..<range.count where names[range.lowerBound + place] != keyID[place] { return false }
        return true
    }
}

/// Why there is no key set.
public enum KeySetFault: Error, Sendable, Hashable, CustomStringConvertible {
    case tooLong(bytesMax: Int)
    case notJSON(JSONFault)
    case noKeys, keysNotList
    /// With `KeySet.problems`.
    case noUsableKey([String])

    /// Envoy's words for the same case.
    public var envoyText: StaticString {
        switch self {
        case .tooLong, .notJSON: "Jwks is an invalid JSON"
        case .noKeys: "Jwks does not have [keys] field"
        case .keysNotList: "[keys] in Jwks is not an array"
        case .noUsableKey: "Jwks doesn't have any valid public key"
        }
    }

    public var description: String {
        switch self {
        case .tooLong(let bytesMax): "the key set has more than \(bytesMax) bytes"
        case .notJSON(let fault): "the key set is not JSON as RFC 8259 has it: \(fault)"
        case .noKeys: "the key set has neither [keys] nor, as a single key, [kty]"
        case .keysNotList: "[keys] in the key set is not a list"
        case .noUsableKey(let problems):
            "the key set has no key that can be used" + (problems.isEmpty ? "" : ": " + problems.joined(separator: "; "))
        }
    }
}
