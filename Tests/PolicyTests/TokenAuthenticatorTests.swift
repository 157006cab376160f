import JOSE
import Matching
import MeshConfig
import Policy
import Primitives
import TelemetryModel
import Testing

@Suite struct TokenAuthenticatorTests {
    let world: TokenWorld

    init() throws { world = try TokenWorld() }

    // MARK: Against a model

    /// A token by what counts of it.
    struct Made {
        var issuer: Int
        var audience: String?
        var isExpired: Bool
        var isForged: Bool
    }

    struct Rule {
        var issuer: Int
        var audiences: [String]
        /// 0 = the default places, 1 = the header `x-t`, 2 = the parameter `t`, 3 = the cookie `c`.
        var place: Int
    }

    private func payload(_ made: Made) -> String {
        let audience = made.audience.map { ",\"aud\":\"\($0)\"" } ?? ""
        let expiry = TokenWorld.now + (made.isExpired ? -61 : 100)
        return "{\"iss\":\"\(TokenWorld.issuers[made.issuer])\",\"sub\":\"s\"\(audience),\"exp\":\(expiry)}"
    }

    private func text(_ rule: Rule) -> String {
        let places = ["", ", fromHeaders: [{name: X-T}]", ", fromParams: [t]", ", fromCookies: [c]"]
        let audiences = rule.audiences.isEmpty ? "" : ", audiences: [\(rule.audiences.joined(separator: ", "))]"
        return "{issuer: '\(TokenWorld.issuers[rule.issuer])', jwks: KEYS\(rule.issuer)\(audiences)\(places[rule.place])}"
    }

    /// What one rule says of one token; nil = it takes it.
    private func fault(_ rule: Rule, _ made: Made) -> String? {
        if rule.issuer != made.issuer { return "Jwt issuer is not configured" }
        if made.isExpired { return "Jwt is expired" }
        if !rule.audiences.isEmpty, !rule.audiences.contains(made.audience ?? "") { return "Audiences in Jwt are not allowed" }
        return made.isForged ? "Jwt verification fails" : nil
    }

    private func expected(_ rules: [Rule], _ there: [Int: Made]) -> String {
        for (index, rule) in rules.enumerated() {
            if let made = there[rule.place], fault(rule, made) == nil { return "rule \(index)" }
        }
        // The places in the order in which rules first name them; of each, a rule that knows the issuer before one that does not.
        var faults: [String] = []
        var seen: Set<Int> = []
        for rule in rules where seen.insert(rule.place).inserted {
            guard let made = there[rule.place] else { continue }
            let all = rules.filter { $0.place == rule.place }.compactMap { fault($0, made) }
            faults.append(all.first { $0 != "Jwt issuer is not configured" } ?? all[0])
        }
        guard let first = faults.first else { return "absent" }
        return "refused " + (faults.first { $0 != "Jwt issuer is not configured" } ?? first)
    }

    @Test(arguments: [UInt64.random(in: 0...UInt64.max), 7])
    func decidesAsTheModel(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        func below(_ bound: UInt32) -> Int { Int(random.below(bound)) }
        var kinds: Set<String> = []
        for _ in 0..<60 {
            let rules = (0..<1 + below(4)).map { _ in
                Rule(issuer: below(2), audiences: [[], ["x"], ["x", "w"]][below(3)], place: below(4))
            }
            let keys = IssuerKeys()
            let (set, problems) = world.compile("[\(rules.map(text).joined(separator: ", "))]", keys: keys)
            #expect(problems.isEmpty)
            var authenticator = TokenAuthenticator(keys: keys, seed: 1)
            for _ in 0..<6 {
                var there: [Int: Made] = [:]
                var question = TokenQuestion()
                for place in 0..<4 where below(2) == 0 {
                    let made = Made(
                        issuer: below(2), audience: [nil, "x", "w", "z"][below(4)], isExpired: below(5) == 0, isForged: below(4) == 0)
                    there[place] = made
                    let token = try (made.isForged ? world.forger : world.signers[made.issuer]).sign(payload: payload(made))
                    switch place {
                    case 0: question.fields.append(("Authorization", "Bearer \(token)"))
                    case 1: question.fields.append(("x-t", token))
                    case 2: question.query = "?a=b&t=\(token)"
                    default: question.fields.append(("Cookie", "d=e; c=\(token)"))
                    }
                }
                let wanted = expected(rules, there)
                kinds.insert(wanted)
                // The second time from memory.
                for _ in 0..<2 {
                    let got = question.ask(&authenticator, set).words
                    #expect(got == wanted, "seed \(seed): \(rules) with \(there)")
                }
            }
        }
        #expect(kinds.count >= 6, "\(kinds)")
    }

    // MARK: Keys that come and go

    private let remote = "[{issuer: 'https://a.example', jwksUri: 'https://a.example/keys'}]"
    private var good: String { "{\"iss\":\"https://a.example\",\"sub\":\"s\"}" }

    @Test func waitsForKeysAndNotTwice() throws {
        let keys = IssuerKeys()
        let (set, _) = world.compile(remote, keys: keys)
        var authenticator = TokenAuthenticator(keys: keys, seed: 1)
        let question = TokenQuestion(fields: [("Authorization", "Bearer \(try world.signers[0].sign(payload: good))")])
        #expect(question.ask(&authenticator, set).words == "waits")
        #expect(keys.rows[0].isWanted)
        #expect(question.ask(&authenticator, set, mayWait: false).words == "refused Jwks remote fetch is failed")
        let now = MonotonicInstant(nanoseconds: 1_000_000_000_000)
        keys.note(0, .failure(KeyFetchError("down")), now: now, unixNanoseconds: 0)
        authenticator.refreshKeys()
        #expect(question.ask(&authenticator, set).words == "refused Jwks remote fetch is failed", "it was just asked")
        #expect(question.ask(&authenticator, set, now: now.nanoseconds + TokenLimits.refetchNanoseconds).words == "waits")
        keys.note(0, .success(try KeySet.parse(Array(world.keySets[0].utf8))), now: now, unixNanoseconds: 0)
        authenticator.refreshKeys()
        #expect(question.ask(&authenticator, set).words == "rule 0")
        keys.note(0, .failure(KeyFetchError("down")), now: now, unixNanoseconds: 0)
        authenticator.refreshKeys()
        #expect(question.ask(&authenticator, set).words == "rule 0", "the last good keys go on")
        #expect(authenticator.hits == 1)
    }

    @Test func otherKeysEndWhatTheOldOnesVerified() throws {
        let keys = IssuerKeys()
        let (set, _) = world.compile(remote, keys: keys)
        var authenticator = TokenAuthenticator(keys: keys, seed: 1)
        let question = TokenQuestion(fields: [("Authorization", "Bearer \(try world.signers[0].sign(payload: good))")])
        let now = MonotonicInstant(nanoseconds: 1_000_000_000_000)
        keys.note(0, .success(try KeySet.parse(Array(world.keySets[0].utf8))), now: now, unixNanoseconds: 0)
        authenticator.refreshKeys()
        #expect(question.ask(&authenticator, set).words == "rule 0")
        keys.note(0, .success(try KeySet.parse(Array(world.keySets[1].utf8))), now: now, unixNanoseconds: 0)
        authenticator.refreshKeys()
        #expect(question.ask(&authenticator, set).words == "refused Jwt verification fails")
    }

    @Test func aTokenIsForgottenWhenItsTimeIsOver() throws {
        let keys = IssuerKeys()
        let (set, _) = world.compile("[{issuer: 'https://a.example', jwks: KEYS0}]", keys: keys)
        var authenticator = TokenAuthenticator(keys: keys, seed: 1)
        let now = TokenWorld.now
        let token = try world.signers[0].sign(payload: "{\"iss\":\"https://a.example\",\"exp\":\(now),\"nbf\":\(now - 10)}")
        let question = TokenQuestion(fields: [("Authorization", "Bearer \(token)")])
        for (moment, wanted) in [
            (now, "rule 0"), (now + 59, "rule 0"), (now + 60, "refused Jwt is expired"), (now - 70, "rule 0"),
            (now - 71, "refused Jwt not yet valid"), (now, "rule 0"),
        ] {
            #expect(question.ask(&authenticator, set, unixSeconds: moment).words == wanted, "\(moment - now)")
        }
    }

    @Test func rememberedTokensAreFew() throws {
        let keys = IssuerKeys()
        let (set, _) = world.compile("[{issuer: 'https://a.example', jwks: KEYS0}]", keys: keys)
        var authenticator = TokenAuthenticator(keys: keys, seed: 1)
        for number in 0..<TokenLimits.cachedMax + 200 {
            let token = try world.signers[0].sign(payload: "{\"iss\":\"https://a.example\",\"sub\":\"\(number)\"}")
            let question = TokenQuestion(fields: [("Authorization", "Bearer \(token)")])
            #expect(question.ask(&authenticator, set).words == "rule 0")
            #expect(authenticator.claims.principal.text == "https://a.example/\(number)")
        }
        #expect(authenticator.hits == 0)
    }

    // MARK: Claims

    @Test func claimsAreFlat() throws {
        let keys = IssuerKeys()
        let (set, _) = world.compile("[{issuer: 'https://a.example', jwks: KEYS0, spaceDelimitedClaims: [g]}]", keys: keys)
        var authenticator = TokenAuthenticator(keys: keys, seed: 1)
        let payload = """
            {"iss":"https://a.example","sub":"s","scope":"r  w","g":"x y","t":"x y",
             "n":{"l":["1",2,true],"o":{"k":"v"}},"a\\u0000b":"z","b":false}
            """
        let question = TokenQuestion(fields: [("Authorization", "Bearer \(try world.signers[0].sign(payload: payload))")])
        #expect(question.ask(&authenticator, set).words == "rule 0")
        let claims = authenticator.claims
        let found = (0..<claims.count).map { index in
            let path = claims.pathText(claims[index]).text.replacing("\0", with: ".")
            return "\(claims[index].kind) \(path) \(claims.valueText(claims[index]).text)"
        }
        #expect(
            found == [
                "string iss https://a.example", "string sub s", "words scope r  w", "string scope r", "string scope w", "words g x y",
                "string g x", "string g y", "string t x y", "string n.l 1", "number n.l 2", "boolean n.l true", "string n.o.k v",
                "boolean b false",
            ])
        #expect(claims.principal.text == "https://a.example/s")
        #expect(TokenQuestion().ask(&authenticator, set).words == "absent")
        #expect(!authenticator.claims.isThere, "claims are of one request")
    }

    @Test func badKeysAreErrorsAndOddOnesWarnings() {
        let weak = #"'{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}'"#
        let (_, errors) = world.compile("[{issuer: i, jwks: \(weak)}]")
        #expect(errors.map(\.code) == ["SKN0325"] && errors[0].severity == .error && errors[0].position.line == 4)
        let mixed = world.keySets[0].replacing("]}", with: #",{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"weak"}]}"#)
        let (set, warnings) = world.compile("[{issuer: i, jwks: '\(mixed)'}]")
        #expect(warnings.map(\.code) == ["SKN0326"] && warnings[0].severity == .warning && warnings[0].message.contains("weak"))
        #expect(set.rules.count == 1)
    }
}
