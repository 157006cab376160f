@testable import JOSE
import Primitives
import Testing

/// Signatures that others made, and our own, of every algorithm.
@Suite struct SignatureVerifierTests {
    private let joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

    @Test func examplesOfRFC7515() throws {
        let secret = try keySet(
            #"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
            allowsSymmetric: true)
        let help = TokenHelp()
        let code = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        #expect(help.verify("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\(joe).\(code)", secret) == .verified)
        #expect(help.claims == [#"iss = "joe""#, "exp = 1300819380", "http://example.com/is_root = true"])
        let curve = try keySet(
            """
            {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
            """)
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        #expect(help.verify("eyJhbGciOiJFUzI1NiJ9.\(joe).\(signature)", curve) == .verified)
        #expect(help.verify("eyJhbGciOiJFUzI1NiJ9.\(joe).E\(signature.dropFirst())", curve) == .badSignature)
    }

    @Test(arguments: SigningAlgorithm.allCases.filter { $0.family != .hmac }) func ownTokens(algorithm: SigningAlgorithm) throws {
        let key = try SigningKey.generate(for: algorithm)
        let token = try TokenSigner(key, algorithm: algorithm).sign(payload: #"{"iss":"me"}"#)
        let help = TokenHelp()
        let keys = try keySet(#"{"keys":[\#(key.publicKey.json())]}"#)
        #expect(help.verify(token, keys) == .verified)
        #expect(help.reader.algorithm == algorithm && help.reader.issuer?.text == "me")
        #expect(help.reader.keyID?.text == key.publicKey.thumbprint)
        // Another key of that name is not the same key.
        let other = try SigningKey.generate(for: algorithm).publicKey.json(keyID: key.publicKey.thumbprint)
        #expect(try help.verify(token, keySet(other)) == .badSignature)
        #expect(try help.verify(token, keySet(SigningKey.generate(for: algorithm).publicKey.json())) == .unknownKey)
        // What was written is the key that was made.
        #expect(try SigningKey(pem: key.pem()).publicKey.thumbprint == key.publicKey.thumbprint)
    }
}
