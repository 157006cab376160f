@testable import JOSE
import Primitives

/// A reader and a verifier behind calls that take text.
final class TokenHelp {
    var reader: TokenReader
    var verifier = SignatureVerifier()

    init(limits: JOSELimits = JOSELimits()) { reader = TokenReader(limits: limits) }

    func read(_ token: String) -> TokenFault? { Array(token.utf8).withLentBytes { reader.read($0) } }

    func verify(_ token: String, _ keys: KeySet) -> Verification {
        if let fault = read(token) { return fault == .badSignature ? .badSignature : .algorithmRefused }
        return verifier.verify(reader, with: keys)
    }

    /// `path = value` for each claim, a list's elements with [].
    var claims: [String] {
        (0..<reader.claimCount).map { place in
            let claim = reader.claim(place)
            let path = (0..<claim.pathCount).map { reader.pathName($0, of: claim).text }
            let value = claim.kind == .string ? JSONString.quoted(claim.value.text) : claim.value.text
            return path.joined(separator: "/") + (claim.isListElement ? "[]" : "") + " = " + value
        }
    }
}

/// A token of any header and payload, with a signature of four bytes.
func unsigned(_ header: String, _ payload: String) -> String {
    [Array(header.utf8), Array(payload.utf8), [1, 2, 3, 4]].map(Base64URL.encode).joined(separator: ".")
}

func keySet(_ text: String, allowsSymmetric: Bool = false, limits: JOSELimits = JOSELimits()) throws -> KeySet {
    try KeySet.parse(Array(text.utf8), allowsSymmetric: allowsSymmetric, limits: limits)
}
