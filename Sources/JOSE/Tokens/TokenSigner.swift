internal import Primitives

/// Makes tokens (RFC 7515 5.1) for an issuer of our own.
public struct TokenSigner: Sendable {
    private let key: SigningKey
    private let algorithm: SigningAlgorithm
    private let keyID: String

    /// `algorithm` nil = the key's own; `keyID` nil = its thumbprint (RFC 7638).
    public init(_ key: SigningKey, algorithm: SigningAlgorithm? = nil, keyID: String? = nil) throws(SigningFault) {
        let algorithm = algorithm ?? key.algorithm
        guard key.algorithms.contains(algorithm) else { throw .algorithmOfOtherKey(algorithm) }
        self.key = key
        self.algorithm = algorithm
        self.keyID = keyID ?? key.publicKey.thumbprint
    }

    /// The token of a payload, JSON. What `TokenReader` would refuse is not signed: duplicate members,
    /// an `exp` that is text, too many bytes.
    public func sign(payload: String) throws(SigningFault) -> String {
        let header = #"{"alg":"\#(algorithm)","typ":"JWT","kid":\#(JSONString.quoted(keyID))}"#
        let text = Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array(payload.utf8))
        let token = try text + "." + Base64URL.encode(key.sign(Array(text.utf8), algorithm))
        var reader = TokenReader()
        if let fault = Array(token.utf8).withLentBytes({ reader.read($0) }) { throw .payload(fault) }
        return token
    }
}
