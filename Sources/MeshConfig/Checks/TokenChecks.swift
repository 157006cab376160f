/// Istio's rules for RequestAuthentication.
struct TokenChecks {
    let findings: Findings

    func check(requestAuthentication spec: NodeReader) {
        NameChecks(findings: findings).check(attachmentOf: spec)
        for rule in spec.children("jwtRules") {
            findings.require(rule, "issuer", "the iss claim of the tokens")
            if rule.has("jwks"), rule.has("jwksUri") {
                findings.error(rule.position("jwks"), "\(rule.path).jwks", "jwks and jwksUri exclude each other; keep one")
            }
            if let uri = rule.string("jwksUri"), !["https://", "http://", "file:///"].contains(where: uri.hasPrefix) {
                findings.error(
                    rule.position("jwksUri"), "\(rule.path).jwksUri",
                    "\"\(uri.prefix(128))\" must begin with https://, http:// or file:///")
            }
            if let keys = rule.string("jwks"), !keys.isEmpty, !isKeySet(keys) {
                findings.error(
                    rule.position("jwks"), "\(rule.path).jwks",
                    "not a JSON Web Key Set (RFC 7517 section 5): {\"keys\": [...]}, or a single key")
            }
            for name in ["audiences", "fromParams", "fromCookies", "spaceDelimitedClaims"] {
                NameChecks(findings: findings).nonEmpty(rule, name, "a name")
            }
            for header in rule.children("fromHeaders") { findings.require(header, "name", "the field that carries the token") }
            for copy in rule.children("outputClaimToHeaders") {
                findings.require(copy, "claim", "whose value is passed on")
                findings.require(copy, "header", "the field it is passed on in")
                if let header = copy.string("header"), !header.isEmpty { check(outputHeader: header, copy, "header") }
            }
            if rule.children("outputClaimToHeaders").count > Self.claimHeadersMax {
                findings.error(
                    rule.position("outputClaimToHeaders"), "\(rule.path).outputClaimToHeaders",
                    "at most \(Self.claimHeadersMax) claims of a token are passed on")
            }
            if let header = rule.string("outputPayloadToHeader"), !header.isEmpty {
                check(outputHeader: header, rule, "outputPayloadToHeader")
            }
            findings.duration(rule, "timeout", zeroAllowed: false)
        }
    }

    /// Claims of a token that are passed on as headers.
    private static let claimHeadersMax = 32
    /// Headers that say where a message ends, where it goes, and what is for one hop alone: a token does not write them.
    private static let headersOfTheMessage: Set<String> = [
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "upgrade", "te", "trailer",
        "expect", "cookie",
    ]

    private func check(outputHeader header: String, _ reader: NodeReader, _ field: String) {
        let reason =
            HeaderChecks.fieldNameProblem(header)
            ?? (Self.headersOfTheMessage.contains(header.lowercased()) ? "is the message's own, and no token may write it" : nil)
        guard let reason else { return }
        findings.error(reader.position(field), "\(reader.path).\(field)", "header name \"\(header.prefix(64))\" \(reason)")
    }

    /// JSON is YAML; whether the keys themselves can be used is asked where tokens are verified.
    private func isKeySet(_ text: String) -> Bool {
        var loader = YAMLLoader(limits: .standard)
        let documents = loader.load(Array(text.utf8))
        guard loader.problems.isEmpty, documents.count == 1, documents[0].pairs != nil else { return false }
        let set = NodeReader(node: documents[0], file: "", path: "")
        if set.has("kty") { return true }
        guard set.node("keys")?.items != nil else { return false }
        return set.children("keys").allSatisfy { $0.string("kty")?.isEmpty == false }
    }
}
