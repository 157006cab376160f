public import Primitives

/// How a token is signed (RFC 7518 3.1, RFC 8037 3.1). `none` is none of them.
///
/// RFC 9864 gives EdDSA's two curves names of their own, and both names are in use.
public enum SigningAlgorithm: UInt8, Sendable, Hashable, CaseIterable {
    case rs256, rs384, rs512, ps256, ps384, ps512, es256, es384, es512, edDSA, ed25519, ed448, hs256, hs384, hs512

    public enum Hash: UInt8, Sendable {
        case sha256, sha384, sha512
        public var bytes: Int { self == .sha256 ? 32 : self == .sha384 ? 48 : 64 }
    }

    public enum Family: UInt8, Sendable {
        /// RSASSA-PKCS1-v1_5.
        case rsa
        case rsaPSS
        case ecdsa
        case edwards
        case hmac
    }

    /// By its name, which is case-sensitive (RFC 7515 4.1.1).
    public init?(_ name: LentBytes) {
        for algorithm in Self.allCases where name == algorithm.name {
            self = algorithm
            return
        }
        return nil
    }

    /// As above, for the edge.
    public init?(named name: String) {
        guard let found = Self.allCases.first(where: { $0.description == name }) else { return nil }
        self = found
    }

    public var name: StaticString {
        switch self {
        case .rs256: "RS256"
        case .rs384: "RS384"
        case .rs512: "RS512"
        case .ps256: "PS256"
        case .ps384: "PS384"
        case .ps512: "PS512"
        case .es256: "ES256"
        case .es384: "ES384"
        case .es512: "ES512"
        case .edDSA: "EdDSA"
        case .ed25519: "Ed25519"
        case .ed448: "Ed448"
        case .hs256: "HS256"
        case .hs384: "HS384"
        case .hs512: "HS512"
        }
    }

    public var family: Family {
        switch self {
        case .rs256, .rs384, .rs512: .rsa
        case .ps256, .ps384, .ps512: .rsaPSS
        case .es256, .es384, .es512: .ecdsa
        case .edDSA, .ed25519, .ed448: .edwards
        case .hs256, .hs384, .hs512: .hmac
        }
    }

    /// What is hashed with; nil for Edwards curves, which hash by themselves.
    public var hash: Hash? {
        switch self {
        case .rs256, .ps256, .es256, .hs256: .sha256
        case .rs384, .ps384, .es384, .hs384: .sha384
        case .rs512, .ps512, .es512, .hs512: .sha512
        case .edDSA, .ed25519, .ed448: nil
        }
    }
}

extension SigningAlgorithm: CustomStringConvertible {
    public var description: String { name.description }
}

/// Some of the algorithms.
struct SigningAlgorithms: OptionSet {
    var rawValue: UInt16

    init(rawValue: UInt16) { self.rawValue = rawValue }

    init(_ algorithm: SigningAlgorithm) { rawValue = 1 << UInt16(algorithm.rawValue) }

    static let rsa: Self = [Self(.rs256), Self(.rs384), Self(.rs512), Self(.ps256), Self(.ps384), Self(.ps512)]

    func contains(_ algorithm: SigningAlgorithm) -> Bool { contains(Self(algorithm)) }
}
