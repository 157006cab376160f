// libFuzzer entry: bytes are a token or none. What is read keeps its bounds, and says the same when it is read again. Nothing verifies.
import JOSE
import Primitives

nonisolated(unsafe) private var reader = TokenReader()
nonisolated(unsafe) private var verifier = SignatureVerifier()
private let keys = try? KeySet.parse(
    Array(
        #"""
        {"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
          "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
         {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"},
         {"kty":"oct","k":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"}]}
        """#.utf8), allowsSymmetric: true)

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzJWT(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let token = unsafe LentBytes(UnsafeRawBufferPointer(start: data, count: size))
    guard unsafe reader.read(token) == nil else {
        precondition(unsafe !reader.isRead && reader.claimCount == 0, "something of a refused token is left")
        return 0
    }
    let limits = JOSELimits()
    let first = facts()
    precondition(size <= limits.tokenBytes && first.count <= limits.claims * 2 + 8, "a bound was not kept")
    precondition(unsafe reader.read(token) == nil && facts() == first, "the same token says something else")
    _ = unsafe reader.timeFault(now: .max, skew: .max)
    guard let keys, size < 400 else { return 0 }
    // Only RFC 7515 A.3 in the corpus is signed by one of them.
    if unsafe verifier.verify(reader, with: keys) == .verified {
        precondition(unsafe reader.issuer?.text == "joe", "a forged token was verified")
    }
    return 0
}

private func facts() -> [String] {
    var facts = unsafe [reader.issuer, reader.subject, reader.keyID, reader.authorizedParty].map { $0?.text ?? "-" }
    unsafe facts.append("\(reader.expiry ?? 0) \(reader.notBefore ?? 0) \(reader.issuedAt ?? 0) \(reader.audienceCount)")
    for place in 0..<(unsafe reader.claimCount) {
        let claim = unsafe reader.claim(place)
        facts.append("\(claim.kind) \(claim.value.text)")
        precondition((1...limitsOfDepth).contains(claim.pathCount), "a claim without a name")
        facts.append((0..<claim.pathCount).map { unsafe reader.pathName($0, of: claim).text }.joined(separator: "/"))
    }
    return facts
}

private let limitsOfDepth = JOSELimits().depth
