@testable import JOSE
import Primitives
import Testing

/// Flattened claims are what policies and routes match: one that is missed or misplaced lets somebody in.
@Suite struct ClaimTests {
    private func claims(_ payload: String, _ help: TokenHelp = TokenHelp()) -> [String] {
        #expect(help.read(unsigned(#"{"alg":"ES256"}"#, payload)) == nil)
        return help.claims
    }

    @Test func nestedObjectsAndLists() {
        let help = TokenHelp()
        let found = claims(
            #"""
            {"iss":"i","realm_access":{"roles":["admin","user"],"level":{"n":1.50}},"a.b":true,"a":{"b":false},"none":null,
             "mixed":["x",2,null,{"hidden":"y"},["z"],false],"empty":[],"nothing":{},"":"unnamed"}
            """#, help)
        #expect(
            found == [
                #"iss = "i""#, #"realm_access/roles[] = "admin""#, #"realm_access/roles[] = "user""#, "realm_access/level/n = 1.50",
                "a.b = true", "a/b = false", "none = null", #"mixed[] = "x""#, "mixed[] = 2", "mixed[] = null", "mixed[] = false",
                #" = "unnamed""#,
            ])
        #expect(help.reader.nestedInListsLeftOut == 2 && help.reader.claimsLeftOut == 0)
        // A dot in a name is not a step.
        #expect(help.reader.claim(4).pathCount == 1 && help.reader.claim(5).pathCount == 2)
    }

    @Test func escapesAreUndone() {
        #expect(claims(#"{"\u0073ub":"a\n\"\u00e9\ud83d\ude00\/"}"#) == ["sub = " + JSONString.quoted("a\n\"é😀/")])
    }

    @Test func moreThanTheLimitAreCounted() {
        let help = TokenHelp()
        let list = (0..<300).map(String.init).joined(separator: ",")
        #expect(claims(#"{"n":[\#(list)]}"#, help).count == 256)
        #expect(help.reader.claimsLeftOut == 44)
    }

    @Test func randomPayloadsAgreeWithTheModel() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var texts = JSONTexts(draw: RandomSource(seed: seed))
        let help = TokenHelp()
        for _ in 0..<2000 {
            let payload = texts.object(3)
            let model = try #require(JSONModel.read(Array(payload.utf8)), "seed \(seed): \(payload)")
            #expect(help.read(unsigned(#"{"alg":"ES256"}"#, payload)) == nil, "seed \(seed): \(payload)")
            #expect(help.claims == model.claims(under: ""), "seed \(seed): \(payload)")
        }
    }
}
