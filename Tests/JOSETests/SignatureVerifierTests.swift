@testable import JOSE
import Primitives
import Testing
import TLS

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

    /// Workers verify in library contexts of their own, with keys that another thread read.
    @Test(arguments: SigningAlgorithm.allCases.filter { $0.family != .hmac }) func inAnotherLibrary(algorithm: SigningAlgorithm) throws {
        let key = try SigningKey.generate(for: algorithm)
        let token = try TokenSigner(key, algorithm: algorithm).sign(payload: #"{"iss":"me"}"#)
        let keys = try keySet(#"{"keys":[\#(key.publicKey.json())]}"#)
        let other = try keySet(SigningKey.generate(for: algorithm).publicKey.json(keyID: key.publicKey.thumbprint))
        for _ in 0..<2 {
            LibraryContext.withOwn {
                #expect(TokenHelp().verify(token, keys) == .verified)
                #expect(TokenHelp().verify(token, other) == .badSignature)
            }
        }
        let own = try LibraryContext.withOwn { try keySet(#"{"keys":[\#(key.publicKey.json())]}"#) }
        #expect(TokenHelp().verify(token, own) == .verified)
    }

    @Test func rs256OfRFC7515() throws {
        let key = #"{"kty":"RSA","n":"\#(PublishedSignatures.joeRSA)","e":"AQAB"}"#
        let token = "eyJhbGciOiJSUzI1NiJ9.\(joe).\(PublishedSignatures.joeRS256)"
        #expect(try TokenHelp().verify(token, keySet(key)) == .verified)
        // The same bytes are no signature of the key's other algorithms.
        #expect(try TokenHelp().verify(token, keySet(key.replacing("}", with: #","alg":"PS256"}"#))) == .algorithmRefused)
    }

    @Test(arguments: PublishedSignatures.all.indices) func published(index: Int) throws {
        let example = PublishedSignatures.all[index]
        let algorithm = try #require(SigningAlgorithm(named: example.algorithm))
        let signature = try #require(Base64URL.decode(example.signature))
        let keys = try keySet(example.key)
        #expect(verify(signature, example.text, algorithm, keys) == .verified)
        #expect(verify(signature, example.text + " ", algorithm, keys) == .badSignature)
        for place in [0, signature.count / 2, signature.count - 1] {
            var changed = signature
            changed[place] ^= 1
            #expect(verify(changed, example.text, algorithm, keys) == .badSignature)
        }
        for length in [0, 1, signature.count - 1] {
            #expect(verify(Array(signature.prefix(length)), example.text, algorithm, keys) == .badSignature)
        }
        #expect(verify(signature + [0], example.text, algorithm, keys) == .badSignature)
        #expect(verify([0] + signature, example.text, algorithm, keys) == .badSignature)
    }

    @Test func thumbprintOfRFC8037() throws {
        let pem = """
            -----BEGIN PRIVATE KEY-----
            MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
            -----END PRIVATE KEY-----
            """
        let key = try SigningKey(pem: Array(pem.utf8)).publicKey
        #expect(key.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
        #expect(key.json(keyID: "a").hasPrefix(#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#))
    }

    @Test func thumbprintOfRFC7638() throws {
        let modulus = try #require(Base64URL.decode(PublishedSignatures.thumbprintRSA))
        guard let key = KeyParameters.rsa(modulus: modulus, exponent: [1, 0, 1]) else {
            Issue.record("no key")
            return
        }
        let json = PublicJWK(key)
        #expect(json.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        #expect(json.json(keyID: "2011-04-29").hasPrefix(#"{"e":"AQAB","kty":"RSA","n":"\#(PublishedSignatures.thumbprintRSA)""#))
    }

    @Test(arguments: [(SigningAlgorithm.es256, 32), (.es384, 48), (.es512, 66)])
    func oddECDSA(algorithm: SigningAlgorithm, half: Int) throws {
        let key = try SigningKey.generate(for: algorithm)
        let keys = try keySet(key.publicKey.json())
        let good = try key.sign(Array("text".utf8), algorithm)
        #expect(good.count == 2 * half && verify(good, "text", algorithm, keys) == .verified)
        let zero = [UInt8](repeating: 0, count: half)
        let ones = [UInt8](repeating: 0xFF, count: half)
        let one: [UInt8] = zero.dropLast() + [1]
        let (r, s) = (Array(good[..<half]), Array(good[half...]))
        for numbers in [zero + s, r + zero, zero + zero, ones + s, r + ones, ones + ones, one + one, s + r] {
            #expect(verify(numbers, "text", algorithm, keys) == .badSignature)
        }
        if algorithm == .es256 {
            // r + n is r again for whoever reduces it first; so is n itself for 0.
            let order: [UInt8] = [
                0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xBC, 0xE6, 0xFA, 0xAD, 0xA7, 0x17,
                0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51,
            ]
            #expect(verify(order + s, "text", algorithm, keys) == .badSignature)
            #expect(verify(r + order, "text", algorithm, keys) == .badSignature)
        }
        // DER is OpenSSL's form, not a token's.
        var der: [UInt8] = []
        _ = good.withLentBytes { numbers in
            ECDSASignature.withDER(numbers, algorithm) { bytes in
                der = bytes.copied
                return true
            }
        }
        #expect(der.first == 0x30 && verify(der, "text", algorithm, keys) == .badSignature)
    }

    @Test func paddingsAreNotMixed() throws {
        let key = try SigningKey.generate(for: .rs256)
        let keys = try keySet(key.publicKey.json())
        for signed in [SigningAlgorithm.rs256, .rs384, .ps256, .ps512] {
            let signature = try key.sign(Array("text".utf8), signed)
            for stated in SigningAlgorithm.allCases where stated.family == .rsa || stated.family == .rsaPSS {
                #expect(verify(signature, "text", stated, keys) == (stated == signed ? .verified : .badSignature), "\(signed) as \(stated)")
            }
        }
    }

    /// The oldest mistake: a public key, which everybody has, taken as the secret of an HMAC.
    @Test(arguments: [SigningAlgorithm.hs256, .hs384, .hs512]) func aPublicKeyIsNoSecret(algorithm: SigningAlgorithm) throws {
        for kind in [SigningAlgorithm.rs256, .es256, .edDSA] {
            let key = try SigningKey.generate(for: kind).publicKey
            for secret in [key.json(), key.thumbprint, ""] {
                let text = Base64URL.encode(Array(#"{"alg":"\#(algorithm)","kid":"\#(key.thumbprint)"}"#.utf8)) + ".e30"
                let code = Array(secret.utf8).withLentBytes { secret in
                    Array(text.utf8).withLentBytes { MessageCode.make(algorithm, secret: secret, of: $0) }
                }
                let token = "\(text).\(Base64URL.encode(code))"
                #expect(try TokenHelp().verify(token, keySet(key.json(), allowsSymmetric: true)) == .algorithmRefused)
            }
        }
    }

    /// RFC 9864: the name of one curve is not for keys of the other.
    @Test func namesOfEdwardsCurves() throws {
        for (own, other) in [(SigningAlgorithm.ed25519, SigningAlgorithm.ed448), (.ed448, .ed25519)] {
            let key = try SigningKey.generate(for: own)
            let keys = try keySet(key.publicKey.json())
            let signature = try key.sign(Array("text".utf8), own)
            #expect(verify(signature, "text", own, keys) == .verified && verify(signature, "text", .edDSA, keys) == .verified)
            #expect(verify(signature, "text", other, keys) == .algorithmRefused)
            let bound = try keySet(key.publicKey.json(algorithm: .edDSA))
            #expect(verify(signature, "text", own, bound) == .algorithmRefused)
        }
    }

    @Test func aSecretIsNoPublicKey() throws {
        let secret = #"{"kty":"oct","kid":"a","k":"\#(Base64URL.encode([UInt8](repeating: 1, count: 64)))"}"#
        let keys = try keySet(secret, allowsSymmetric: true)
        for algorithm in SigningAlgorithm.allCases where algorithm.family != .hmac {
            #expect(verify([1], "text", algorithm, keys) == .algorithmRefused)
        }
        let code = [UInt8](repeating: 1, count: 64).withLentBytes { secret in
            Array("text".utf8).withLentBytes { MessageCode.make(.hs384, secret: secret, of: $0) }
        }
        #expect(verify(code, "text", .hs384, keys) == .verified && verify(code, "text", .hs256, keys) == .badSignature)
        // A part of a code is none.
        for length in [0, 1, 32, 47] { #expect(verify(Array(code.prefix(length)), "text", .hs384, keys) == .badSignature) }
    }

    @Test func namesChooseKeys() throws {
        let own = try SigningKey.generate(for: .es256)
        let other = try SigningKey.generate(for: .es256).publicKey
        let nameless = own.publicKey.json().replacing(#","kid":"\#(own.publicKey.thumbprint)""#, with: "")
        let signature = try own.sign(Array("text".utf8), .es256)
        func result(_ keys: [String], _ name: String) throws -> Verification {
            try verify(signature, "text", .es256, keySet(#"{"keys":[\#(keys.joined(separator: ","))]}"#), name)
        }
        let (a, b) = (own.publicKey.json(keyID: "a"), other.json(keyID: "b"))
        #expect(try result([b, a], "a") == .verified && result([b, a], "b") == .badSignature && result([b, a], "c") == .unknownKey)
        // Without a name in the token every key is tried; without one in the key it serves names that no other has.
        #expect(try result([b, a], "") == .verified && result([b], "") == .badSignature)
        #expect(try result([nameless, b], "c") == .verified && result([nameless, b], "b") == .badSignature)
        // Two keys of one name, as in the middle of a rotation.
        let twice = try keySet(#"{"keys":[\#(other.json(keyID: "a")),\#(a)]}"#)
        #expect(verify(signature, "text", .es256, twice, "a") == .verified && twice.problems.count == 1)
        // An empty set of candidates is no reason to believe.
        let rsa = try SigningKey.generate(for: .rs256).publicKey
        #expect(try result([rsa.json(keyID: "a"), b], "a") == .algorithmRefused)
    }

    @Test func notMoreKeysThanTheLimitAreTried() throws {
        let own = try SigningKey.generate(for: .es256)
        let signature = try own.sign(Array("text".utf8), .es256)
        let others = try (0..<JOSELimits.keysTriedMax).map { try SigningKey.generate(for: .es256).publicKey.json(keyID: "\($0)") }
        let last = own.publicKey.json(keyID: "last")
        #expect(try verify(signature, "text", .es256, keySet(#"{"keys":[\#((others + [last]).joined(separator: ","))]}"#)) == .badSignature)
        let fewer = try keySet(#"{"keys":[\#((others.dropFirst() + [last]).joined(separator: ","))]}"#)
        #expect(verify(signature, "text", .es256, fewer) == .verified)
    }

    @Test func whatNobodyWouldTakeIsNotSigned() throws {
        let signer = try TokenSigner(SigningKey.generate(for: .edDSA), keyID: "k")
        #expect(throws: IssueFault.wouldBeRefused(.expiryNotNumber)) { try signer.sign(payload: #"{"exp":"soon"}"#) }
        #expect(throws: IssueFault.wouldBeRefused(.payloadNotJSON(.duplicateMember))) { try signer.sign(payload: #"{"a":1,"a":2}"#) }
        #expect(throws: SigningFault.algorithmOfOtherKey(.rs256)) { try TokenSigner(SigningKey.generate(for: .es256), algorithm: .rs256) }
        #expect(throws: SigningFault.rsaBits(1024)) { try SigningKey.generate(for: .rs256, bits: 1024) }
        #expect(throws: SigningFault.symmetric) { try SigningKey.generate(for: .hs256) }
        for text in ["", "-----BEGIN PRIVATE KEY-----", "junk"] {
            #expect(throws: SigningFault.notPEM) { try SigningKey(pem: Array(text.utf8)) }
        }
    }

    private func verify(
        _ signature: [UInt8], _ text: String, _ algorithm: SigningAlgorithm, _ keys: KeySet, _ name: String = ""
    ) -> Verification {
        var verifier = SignatureVerifier()
        return signature.withLentBytes { signature in
            Array(text.utf8).withLentBytes { text in
                Array(name.utf8).withLentBytes { verifier.verify(signature, of: text, algorithm, keyID: $0, with: keys) }
            }
        }
    }
}
