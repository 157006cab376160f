@testable import JOSE
import Primitives
import Testing

/// Sets of keys as issuers publish them, and as they should not.
@Suite struct KeySetTests {
    private static let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
    private static let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    private static let curve = #""kty":"EC","crv":"P-256","x":"\#(x)","y":"\#(y)""#
    /// An odd number of as many bits.
    private static func modulus(_ bits: Int) -> String {
        var bytes = [UInt8](repeating: 0xA5, count: (bits + 7) / 8)
        bytes[0] = 1 << UInt8((bits - 1) % 8)
        return Base64URL.encode(bytes)
    }

    @Test func oneKeyOrASet() throws {
        #expect(try keySet("{\(Self.curve)}").count == 1)
        let set = try keySet(#"{"keys":[{\#(Self.curve),"kid":"a","alg":"ES256","use":"sig","key_ops":["verify"],"more":[1]}],"more":{}}"#)
        #expect(set.summaries == [KeySet.Summary(keyID: "a", kind: "P-256", algorithms: [.es256])] && set.problems.isEmpty)
        #expect(set.hasKey(LentBytes("a")) && !set.hasKey(LentBytes("A")) && !set.hasKey(LentBytes("")))
    }

    @Test(arguments: [
        ("", .notJSON(.truncated)), ("[]", .notJSON(.notObject)), ("{}", .noKeys), (#"{"keys":{}}"#, .keysNotList),
        (#"{"keys":[]}"#, .noUsableKey([])), (#"{"keys":[],"keys":[]}"#, .notJSON(.duplicateMember)), ("-----BEGIN", .notJSON(.badNumber)),
    ] as [(String, KeySetFault)]) func noSets(text: String, wanted: KeySetFault) {
        #expect(throws: wanted) { try keySet(text) }
    }

    @Test(arguments: [
        ("1", "not an object"), ("{}", "[kty] is missing"), (#"{"kty":1}"#, "[kty] is not a string"),
        (#"{"kty":"ec"}"#, "RSA, EC, OKP, oct"),
        (#"{\#(curve),"kid":1}"#, "[kid] is not a string"), (#"{\#(curve),"use":"enc"}"#, "[use] is not sig"),
        (#"{\#(curve),"use":["sig"]}"#, "[use] is not a string"), (#"{\#(curve),"key_ops":["sign"]}"#, "does not have verify"),
        (#"{\#(curve),"key_ops":[]}"#, "does not have verify"), (#"{\#(curve),"key_ops":"verify"}"#, "not a string list"),
        (#"{\#(curve),"alg":"ES384"}"#, "not for keys of this type or curve"), (#"{\#(curve),"alg":"HS256"}"#, "not for keys of this type"),
        (#"{\#(curve),"alg":"none"}"#, "no algorithm"), (#"{\#(curve),"alg":"ECDH-ES"}"#, "no algorithm"),
        (#"{\#(curve),"alg":1}"#, "[alg] is not a string"),
        (#"{"kty":"EC","crv":"P-384","x":"\#(x)","y":"\#(y)"}"#, "[x] has not the length"),
        (#"{"kty":"EC","crv":"secp256k1","x":"\#(x)","y":"\#(y)"}"#, "[crv] is none of"),
        (#"{"kty":"EC","x":"\#(x)"}"#, "[crv] is missing"),
        (#"{"kty":"EC","crv":"Ed25519","x":"\#(x)"}"#, "[crv] is none of"), (#"{"kty":"OKP","crv":"P-256","x":"\#(x)"}"#, "[crv] is none"),
        (#"{"kty":"OKP","crv":"X25519","x":"\#(x)"}"#, "[crv] is none of"), (#"{"kty":"OKP","crv":"Ed448","x":"\#(x)"}"#, "[x] has not"),
        (#"{"kty":"EC","crv":"P-256","x":"\#(y)","y":"\#(x)"}"#, "no point of the curve"),
        (#"{"kty":"EC","crv":"P-256","x":"\#(x)","y":"\#(x)"}"#, "no point of the curve"),
        (#"{"kty":"EC","crv":"P-256","x":"\#(x)"}"#, "[y] is missing"),
        (#"{"kty":"EC","crv":"P-256","x":"\#(x)=","y":"\#(y)"}"#, "[x] is not"),
        (#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"}"#, "not allowed here"),
        (#"{"kty":"RSA","n":"\#(modulus(2048))"}"#, "[e] is missing"), (#"{"kty":"RSA","e":"AQAB"}"#, "[n] is missing"),
        (#"{"kty":"RSA","n":"\#(modulus(2047))","e":"AQAB"}"#, "2047 bits"), (#"{"kty":"RSA","n":"\#(modulus(1024))","e":"AQAB"}"#, "1024"),
        (#"{"kty":"RSA","n":"\#(modulus(8193))","e":"AQAB"}"#, "8193 bits"), (#"{"kty":"RSA","n":"\#(modulus(2048))","e":"AQ"}"#, "[e] is"),
        (#"{"kty":"RSA","n":"\#(modulus(2048))","e":"AA"}"#, "[e] is not"), (#"{"kty":"RSA","n":"\#(modulus(2048))","e":"Ag"}"#, "[e] is"),
        (#"{"kty":"RSA","n":"\#(modulus(2048))","e":"AQAAAAE"}"#, "[e] is not"),
        (#"{"kty":"RSA","n":"AAAAAAAAAAAAAA","e":"AQAB"}"#, "0 bits"),
        (#"{"kty":"RSA","n":"\#(Base64URL.encode([UInt8](repeating: 0xA4, count: 256)))","e":"AQAB"}"#, "even number"),
        (#"{"kty":"RSA","x5c":["AAAA"]}"#, "[x5c] does not begin"), (#"{"kty":"RSA","x5c":[]}"#, "[x5c] does not begin"),
        (#"{\#(curve),"kid":"\#(String(repeating: "a", count: 1025))"}"#, "[kid] is too long"),
    ]) func leftOut(key: String, words: String) throws {
        let set = try keySet(#"{"keys":[\#(key),{\#(Self.curve),"kid":"good"}]}"#)
        #expect(set.count == 1 && set.summaries[0].keyID == "good")
        let problem = try #require(set.problems.first)
        #expect(set.problems.count == 1 && problem.hasPrefix("key 1") && problem.contains(words), "\(set.problems)")
        #expect(!problem.contains(Self.x), "no key is in the words")
    }

    @Test func largestAndSmallestRSA() throws {
        for bits in [2048, 4096, 8192] {
            #expect(try keySet(#"{"kty":"RSA","n":"\#(Self.modulus(bits))","e":"AQAB"}"#).summaries[0].kind == "RSA \(bits)")
        }
        // Leading zeros, as some write them, are no bits.
        let padded = Base64URL.encode([0, 0] + (Base64URL.decode(Self.modulus(2048)) ?? []))
        #expect(try keySet(#"{"kty":"RSA","n":"\#(padded)","e":"AAEAAQ"}"#).summaries[0].kind == "RSA 2048")
        #expect(throws: KeySetFault.self) { try keySet(#"{"kty":"RSA","n":"\#(Base64URL.encode([0, 0, 1]))","e":"AQAB"}"#) }
    }

    @Test func aPrivateKeyIsSaidAndItsPublicHalfUsed() throws {
        let set = try keySet(#"{\#(Self.curve),"kid":"p","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#)
        #expect(set.count == 1 && set.problems.count == 1 && set.problems[0].contains("only the public one is used"))
        #expect(!set.problems[0].contains("jpsQ"))
    }

    @Test func secretsAreBoundToHashes() throws {
        func secret(_ bytes: Int, _ more: String = "") throws -> [SigningAlgorithm] {
            let key = Base64URL.encode([UInt8](repeating: 7, count: bytes))
            return try keySet(#"{"kty":"oct","k":"\#(key)"\#(more)}"#, allowsSymmetric: true).summaries[0].algorithms
        }
        #expect(try secret(32) == [.hs256] && secret(48) == [.hs256, .hs384] && secret(64) == [.hs256, .hs384, .hs512])
        #expect(try secret(64, #","alg":"HS384""#) == [.hs384])
        for bytes in [0, 1, 31, 1025] { #expect(throws: KeySetFault.self) { try secret(bytes) } }
        #expect(throws: KeySetFault.self) { try secret(32, #","alg":"HS512""#) }
        #expect(throws: KeySetFault.self) { try secret(64, #","alg":"RS256""#) }
    }

    @Test func tenThousandKeysCostBoundedTime() throws {
        let many = (0..<10_000).map { #"{\#(Self.curve),"kid":"\#($0)"}"# }.joined(separator: ",")
        #expect(throws: KeySetFault.tooLong(bytesMax: 1 << 20)) { try keySet(#"{"keys":[\#(many)]}"#) }
        var limits = JOSELimits()
        limits.keySetBytes = 4 << 20
        let set = try keySet(#"{"keys":[\#(many)]}"#, limits: limits)
        #expect(set.count == 512 && set.problems == ["9488 keys were left out: a set keeps 512"])
        #expect(set.hasKey(LentBytes("511")) && !set.hasKey(LentBytes("512")))
        let junk = Array(repeating: "1", count: 10_000).joined(separator: ",")
        let fault = #expect(throws: KeySetFault.self) { try keySet(#"{"keys":[\#(junk)]}"#) }
        guard case .noUsableKey(let problems) = fault else { return }
        #expect(problems.count == 63 && problems.last == "and 9938 more problems of keys")
    }

    @Test func namesAreSafeToShow() throws {
        let set = try keySet(#"{\#(Self.curve),"kid":"a\u001b[2J\nb\#(String(repeating: "c", count: 80))"}"#)
        let name = try #require(set.summaries[0].keyID)
        #expect(name.hasPrefix("a\\u{1B}[2J\\nbccc") && name.hasSuffix("…") && name.utf8.allSatisfy { $0 >= 32 })
    }

    @Test func randomChangesAreReadOrRefused() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var texts = JSONTexts(draw: RandomSource(seed: seed))
        var kept = 0
        for _ in 0..<400 {
            let bytes = texts.changed(#"{"keys":[{\#(Self.curve),"kid":"a"},{"kty":"OKP","crv":"Ed25519","x":"\#(Self.x)"}]}"#)
            if let set = try? KeySet.parse(bytes) { kept += set.count }
        }
        #expect(kept > 100, "seed \(seed)")
    }
}
