internal import COpenSSL
internal import Primitives

/// The public half of a key as JSON (RFC 7517 4, RFC 7518 6, RFC 8037 2).
public struct PublicJWK: Sendable {
    /// In the order of RFC 7638 3.2: members that make the key, sorted.
    private let members: [(name: String, value: String)]

    init(_ key: borrowing EVPKey) {
        guard let curve = key.curve else {
            members = [
                ("e", Base64URL.encode(key.rsaNumber("e"))), ("kty", "RSA"), ("n", Base64URL.encode(key.rsaNumber("n"))),
            ]
            return
        }
        let bytes = key.publicBytes(curve)
        if curve.isEdwards {
            members = [("crv", "\(curve.name)"), ("kty", "OKP"), ("x", Base64URL.encode(bytes))]
        } else {
            let x = Array(bytes.prefix(curve.bytes))
            let y = Array(bytes.suffix(curve.bytes))
            members = [("crv", "\(curve.name)"), ("kty", "EC"), ("x", Base64URL.encode(x)), ("y", Base64URL.encode(y))]
        }
    }

    /// The key's name by its content: SHA-256 over its members (RFC 7638), in base64url.
    public var thumbprint: String {
        let text = Array("{\(members.map(Self.member).joined(separator: ","))}".utf8)
        var digest = [UInt8](repeating: 0, count: 32)
        precondition(unsafe EVP_Digest(text, text.count, &digest, nil, EVP_sha256(), nil) == 1, "OpenSSL has SHA-256")
        return Base64URL.encode(digest)
    }

    /// `{"kty":…,"use":"sig","kid":…}`, with `alg` if the key is to be used with that one alone. `keyID` nil = the thumbprint.
    public func json(keyID: String? = nil, algorithm: SigningAlgorithm? = nil) -> String {
        var all = members + [("use", "sig"), ("kid", keyID ?? thumbprint)]
        if let algorithm { all.append(("alg", algorithm.description)) }
        return "{\(all.map(Self.member).joined(separator: ","))}"
    }

    private static func member(_ member: (name: String, value: String)) -> String {
        "\"\(member.name)\":\(JSONString.quoted(member.value))"
    }
}

extension EVPKey {
    /// Of a curve's key: the coordinates side by side, or RFC 8032's bytes.
    fileprivate func publicBytes(_ curve: Curve) -> [UInt8] {
        var count = 2 * curve.bytes + 1
        var bytes = [UInt8](repeating: 0, count: count)
        if curve.isEdwards {
            guard unsafe EVP_PKEY_get_raw_public_key(pointer, &bytes, &count) == 1 else { return [] }
            return Array(bytes.prefix(count))
        }
        // 4, x, y (SEC 1 2.3.3).
        guard unsafe EVP_PKEY_get_octet_string_param(pointer, "pub", &bytes, bytes.count, &count) == 1, bytes[0] == 4 else { return [] }
        return Array(bytes[1..<count])
    }
}
