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
    public func sign(payload: String) throws(IssueFault) -> String {
        let header = #"{"alg":"\#(algorithm)","typ":"JWT","kid":\#(JSONString.quoted(keyID))}"#
        let text = Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array(payload.utf8))
        let signature: [UInt8]
        do throws(SigningFault) { signature = try key.sign(Array(text.utf8), algorithm) } catch { throw .notSigned(error) }
        let token = text + "." + Base64URL.encode(signature)
        var reader = TokenReader()
        if let fault = Array(token.utf8).withLentBytes({ reader.read($0) }) { throw .wouldBeRefused(fault) }
        return token
    }
}

/// Why there is no token. Nothing of it is in its words.
public enum IssueFault: Error, Sendable, Hashable, CustomStringConvertible {
    case notSigned(SigningFault)
    /// By `TokenReader`, so by every proxy.
    case wouldBeRefused(TokenFault)

    public var description: String {
        switch self {
        case .notSigned(let fault): fault.description
        case .wouldBeRefused(let fault): "every proxy would refuse it: \(fault)"
        }
    }
}
