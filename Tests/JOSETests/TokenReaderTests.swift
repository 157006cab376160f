@testable import JOSE
import Primitives
import Testing

/// What a token says is read whole or not at all; every mistake that others made with tokens is refused (semantics 4.2).
@Suite struct TokenReaderTests {
    private static let header = #"{"alg":"ES256"}"#

    @Test(arguments: [
        "", ".", "..", "...", "a", "a.b", "a.b.c.d", "a..c", ".b.c", "a.b.", "a.b.c.d.e", "Bearer a.b",
    ]) func threeSections(token: String) { #expect(TokenHelp().read(token) == .notThreeSections) }

    @Test(arguments: [
        (#"{"alg":"none"}"#, .algorithmNone), (#"{"alg":"None"}"#, .algorithmNone), (#"{"alg":"nOnE"}"#, .algorithmNone),
        (#"{"alg":""}"#, .algorithmUnsupported), (#"{"alg":"es256"}"#, .algorithmUnsupported),
        (#"{"alg":"ES256 "}"#, .algorithmUnsupported),
        (#"{"alg":"ES256K"}"#, .algorithmUnsupported), (#"{"alg":"ed25519"}"#, .algorithmUnsupported),
        (#"{"alg":"RS1"}"#, .algorithmUnsupported),
        (#"{"alg":"ES256\u0000"}"#, .algorithmUnsupported), (#"{"alg":"dir"}"#, .algorithmUnsupported),
        (#"{"typ":"JWT"}"#, .algorithmMissing), (#"{"alg":null}"#, .algorithmMissing), (#"{"alg":["ES256"]}"#, .algorithmMissing),
        (#"{"alg":1}"#, .algorithmMissing), (#"{"ALG":"ES256"}"#, .algorithmMissing), (#"{"x":{"alg":"ES256"}}"#, .algorithmMissing),
        (#"{"alg":"ES256","crit":["exp"],"exp":1}"#, .criticalExtension), (#"{"alg":"ES256","crit":[]}"#, .criticalExtension),
        (#"{"alg":"ES256","crit":null}"#, .criticalExtension), (#"{"alg":"ES256","b64":false}"#, .unencodedPayload),
        (#"{"alg":"ES256","b64":"true"}"#, .unencodedPayload), (#"{"alg":"ES256","b64":false,"crit":["b64"]}"#, .criticalExtension),
        (#"{"alg":"ES256","enc":"A128GCM"}"#, .encrypted), (#"{"alg":"ES256","zip":"DEF"}"#, .encrypted),
        (#"{"alg":"ES256","kid":1}"#, .keyIDNotString), (#"{"alg":"ES256","kid":null}"#, .keyIDNotString),
        (#"{"alg":"ES256","kid":["a"]}"#, .keyIDNotString),
        ("[]", .headerNotJSON(.notObject)), ("\"ES256\"", .headerNotJSON(.notObject)), ("{", .headerNotJSON(.truncated)),
        (#"{"alg":"HS256","alg":"ES256"}"#, .headerNotJSON(.duplicateMember)),
        (#"{"alg":"HS256","\u0061lg":"ES256"}"#, .headerNotJSON(.duplicateMember)),
    ] as [(String, TokenFault)]) func headers(header: String, wanted: TokenFault) {
        let help = TokenHelp()
        #expect(help.read(unsigned(header, "{}")) == wanted)
        #expect(!help.reader.isRead && help.reader.claimCount == 0 && help.reader.payloadText.isEmpty)
    }

    @Test(arguments: [
        (#"{"iss":["a"]}"#, .issuerNotString), (#"{"iss":null}"#, .issuerNotString), (#"{"sub":1}"#, .subjectNotString),
        (#"{"aud":1}"#, .audienceNotStrings), (#"{"aud":["a",1]}"#, .audienceNotStrings), (#"{"aud":[["a"]]}"#, .audienceNotStrings),
        (#"{"aud":{"a":"b"}}"#, .audienceNotStrings), (#"{"aud":null}"#, .audienceNotStrings), (#"{"jti":1}"#, .tokenIDNotString),
        (#"{"azp":[]}"#, .authorizedPartyNotString), (#"{"exp":"1"}"#, .expiryNotNumber), (#"{"exp":null}"#, .expiryNotNumber),
        (#"{"exp":[1]}"#, .expiryNotNumber), (#"{"nbf":"0"}"#, .notBeforeNotNumber), (#"{"iat":true}"#, .issuedAtNotNumber),
        (#"["iss"]"#, .payloadNotJSON(.notObject)), ("1", .payloadNotJSON(.notObject)), ("", .notThreeSections),
        (#"{"iss":"a","iss":"b"}"#, .payloadNotJSON(.duplicateMember)), (#"{"a":{"b":1,"b":2}}"#, .payloadNotJSON(.duplicateMember)),
        (#"{"iss":"\ud800"}"#, .payloadNotJSON(.loneSurrogate)),
    ] as [(String, TokenFault)]) func payloads(payload: String, wanted: TokenFault) {
        let help = TokenHelp()
        #expect(help.read(unsigned(Self.header, payload)) == wanted)
        #expect(!help.reader.isRead && help.reader.issuer == nil && help.reader.expiry == nil && help.reader.audienceCount == 0)
    }

    @Test func everySectionIsStrictBase64() {
        let good = unsigned(Self.header, "{}").split(separator: ".").map(String.init)
        #expect(TokenHelp().read(good.joined(separator: ".")) == nil)
        for (place, wanted) in [(0, TokenFault.headerNotBase64), (1, .payloadNotBase64), (2, .signatureNotBase64)] {
            for change in ["=", " ", "+", "\n", "\0", "é"] {
                var sections = good
                sections[place] += change
                #expect(TokenHelp().read(sections.joined(separator: ".")) == wanted, "\(sections)")
            }
        }
        // AQIDBA is 1, 2, 3, 4; AQIDBB would be the same bytes.
        #expect(good[2] == "AQIDBA" && TokenHelp().read("\(good[0]).\(good[1]).AQIDBB") == .signatureNotBase64)
    }

    @Test func keysInTheHeaderAreNoKeys() throws {
        let key = try SigningKey.generate(for: .es256)
        let own = key.publicKey.json()
        let header = #"{"alg":"ES256","jwk":\#(own),"jku":"https://evil.example","x5u":"https://evil.example","x5c":["AA=="]}"#
        let text = Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array(#"{"iss":"me"}"#.utf8))
        let token = text + "." + Base64URL.encode(try key.sign(Array(text.utf8), .es256))
        let other = try SigningKey.generate(for: .es256).publicKey.json()
        #expect(try TokenHelp().verify(token, keySet(other)) == .badSignature)
    }

    @Test func sizesAreBounded() throws {
        let million = String(repeating: "a", count: 1_000_000)
        let help = TokenHelp()
        #expect(help.read(million) == .tooLong && help.read("\(million).e30.AA") == .tooLong)
        #expect(help.read(String(repeating: ".", count: 10_000)) == .notThreeSections)
        #expect(help.read(unsigned(#"{"alg":"ES256","x":"\#(String(repeating: "a", count: 4096))"}"#, "{}")) == .headerNotJSON(.tooLong))
        let deep = String(repeating: #"{"a":"#, count: 2000) + "1" + String(repeating: "}", count: 2000)
        #expect(help.read(unsigned(Self.header, deep)) == .payloadNotJSON(.tooDeep))
        #expect(help.read(unsigned(#"{"alg":"ES256","kid":"\#(String(repeating: "a", count: 1025))"}"#, "{}")) == .keyIDTooLong)
        // The largest that is taken.
        let room = (16 << 10) - unsigned(Self.header, "{}").utf8.count
        let large = #"{"a":"\#(String(repeating: "b", count: room / 4 * 3 - 6))"}"#
        #expect(help.read(unsigned(Self.header, large)) == nil)
    }

    @Test func registeredClaimsAreRead() {
        let help = TokenHelp()
        let payload =
            #"{"iss":"https:\/\/i","sub":"s","aud":["a","b"],"azp":"p","exp":99999999999999999999,"nbf":-1.5,"iat":1e3,"jti":"x"}"#
        #expect(help.read(unsigned(#"{"alg":"RS256","kid":"k\u00e9"}"#, payload)) == nil)
        #expect(help.reader.issuer?.text == "https://i" && help.reader.subject?.text == "s" && help.reader.authorizedParty?.text == "p")
        #expect(help.reader.keyID?.text == "ké" && help.reader.algorithm == .rs256)
        #expect(help.reader.expiry == .max && help.reader.notBefore == -2 && help.reader.issuedAt == 1000)
        #expect(help.reader.audienceCount == 2 && help.reader.audience(1) == "b")
        #expect(help.reader.isFor(LentBytes("a")) && !help.reader.isFor(LentBytes("ab")) && !help.reader.isFor(LentBytes("")))
        #expect(help.reader.payloadText.text == payload && help.reader.headerText.text == #"{"alg":"RS256","kid":"k\u00e9"}"#)
        #expect(help.reader.payloadSection.text == Base64URL.encode(Array(payload.utf8)))
        // What the token before had is gone.
        #expect(help.read(unsigned(Self.header, #"{"aud":"one"}"#)) == nil)
        #expect(help.reader.issuer == nil && help.reader.keyID == nil && help.reader.expiry == nil)
        #expect(help.reader.audienceCount == 1 && help.reader.audience(0) == "one")
        #expect(help.read(unsigned(Self.header, #"{"aud":[]}"#)) == nil && help.reader.audienceCount == 0)
    }

    @Test(arguments: [
        (1000, 0, .expired), (1001, 0, nil), (940, 60, .expired), (941, 60, nil), (.max, .max, nil), (.min, .max, .expired),
        (.min, 60, .expired),
    ] as [(Int64, Int64, TokenFault?)]) func expiry(at expiry: Int64, skew: Int64, wanted: TokenFault?) {
        let help = TokenHelp()
        #expect(help.read(unsigned(Self.header, #"{"exp":\#(expiry)}"#)) == nil)
        #expect(help.reader.timeFault(now: 1000, skew: skew) == wanted)
    }

    @Test(arguments: [
        (1000, 0, nil), (1001, 0, .notYetValid), (1060, 60, nil), (1061, 60, .notYetValid), (.max, 60, .notYetValid), (.min, 0, nil),
    ] as [(Int64, Int64, TokenFault?)]) func notBefore(at start: Int64, skew: Int64, wanted: TokenFault?) {
        let help = TokenHelp()
        #expect(help.read(unsigned(Self.header, #"{"nbf":\#(start)}"#)) == nil)
        #expect(help.reader.timeFault(now: 1000, skew: skew) == wanted)
    }

    /// Bytes that a stranger sends end no worker.
    @Test func randomChangesAreReadOrRefused() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var texts = JSONTexts(draw: RandomSource(seed: seed))
        let help = TokenHelp()
        for _ in 0..<4000 {
            let token = String(decoding: texts.changed(unsigned(Self.header, texts.object(2))), as: UTF8.self)
            let fault = help.read(token)
            #expect((fault == nil) == help.reader.isRead, "seed \(seed): \(token)")
            for place in 0..<help.reader.claimCount { #expect(help.reader.claim(place).pathCount > 0, "seed \(seed): \(token)") }
        }
    }

    /// Envoy's words are what clients and dashboards know.
    @Test func wordsOfEnvoy() {
        #expect(TokenFault.notThreeSections.envoyText.description.hasSuffix("with two dots and 3 sections"))
        #expect(TokenFault.headerNotJSON(.tooDeep).envoyText.description == "Jwt header is an invalid JSON")
        #expect(TokenFault.headerNotJSON(.tooDeep).description == "Jwt header is an invalid JSON: it is nested too deeply")
        #expect(TokenFault.badSignature.description == "Jwt verification fails")
        #expect(Verification.unknownKey.fault?.description == "Jwks doesn't have key to match kid or alg from Jwt")
    }
}
