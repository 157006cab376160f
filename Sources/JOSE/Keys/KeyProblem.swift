/// Why a key of a set was left out, or what is odd about one that was kept.
enum KeyProblem: Error, Hashable, CustomStringConvertible {
    case notObject
    case notString(StaticMember)
    case missing(StaticMember)
    case notBase64(StaticMember)
    case wrongLength(StaticMember)
    case keyIDTooLong
    case typeUnknown, curveUnknown, algorithmUnknown, algorithmOfOtherKind
    case notForSignatures, notForVerifying
    case rsaBits(Int), rsaModulusEven, rsaExponent
    case notOnCurve
    case symmetric
    case secretBytes
    case badCertificate, certificateOfOtherKind
    case refused
    // Kept:
    case isPrivate
    case duplicateKeyID

    enum StaticMember: String { case kty, kid, use, keyOps = "key_ops", alg, n, e, crv, x, y, k }

    var isKept: Bool { self == .isPrivate || self == .duplicateKeyID }

    var description: String {
        switch self {
        case .notObject: "it is not an object"
        case .notString(let member): "[\(member.rawValue)] is not a string\(member == .keyOps ? " list" : "")"
        case .missing(let member): "[\(member.rawValue)] is missing"
        case .notBase64(let member): "[\(member.rawValue)] is not base64url"
        case .wrongLength(let member): "[\(member.rawValue)] has not the length that its curve wants"
        case .keyIDTooLong: "[kid] is too long"
        case .typeUnknown: "[kty] is none of RSA, EC, OKP, oct"
        case .curveUnknown: "[crv] is none of P-256, P-384, P-521, or Ed25519 and Ed448 for OKP"
        case .algorithmUnknown: "[alg] is no algorithm for signatures that is supported"
        case .algorithmOfOtherKind: "[alg] is not for keys of this type or curve"
        case .notForSignatures: "[use] is not sig"
        case .notForVerifying: "[key_ops] does not have verify"
        case .rsaBits(let bits):
            "an RSA key of \(bits) bits; \(JOSELimits.rsaBits.lowerBound) to \(JOSELimits.rsaBits.upperBound) are taken"
        case .rsaModulusEven: "[n] is an even number, which no RSA key has"
        case .rsaExponent: "[e] is not an odd number from 3 on, of at most \(JOSELimits.rsaExponentBitsMax) bits"
        case .notOnCurve: "[x] and [y] are no point of the curve"
        case .symmetric: "a symmetric key, which is not allowed here"
        case .secretBytes:
            "[k] has too few or too many bytes: at least as many as the hash of its algorithm (32, 48, 64) and at most "
                + "\(JOSELimits.secretBytes.upperBound) are taken"
        case .badCertificate: "[x5c] does not begin with a certificate"
        case .certificateOfOtherKind: "the certificate in [x5c] is for a key of another type or curve"
        case .refused: "libcrypto does not take it for a key"
        case .isPrivate: "it has its private half as well: only the public one is used, and everybody who can read the set can sign"
        case .duplicateKeyID: "another key before it has the same [kid]; both are tried"
        }
    }
}
