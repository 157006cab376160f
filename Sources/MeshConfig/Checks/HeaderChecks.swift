/// Rules about names and values of header fields in a VirtualService: what is matched, what is changed, what CORS allows.
struct HeaderChecks {
    let findings: Findings

    /// A field that a match asks for. Istio takes letters, digits, `-` and `_`; here any name of RFC 9110 section 5.1 is, and the
    /// pseudo-fields that Envoy matches (`:path` has the query, which `uri` has not).
    func check(matchedHeaders match: NodeReader, isMesh: Bool) {
        for name in ["headers", "withoutHeaders"] {
            for (key, value) in match.entries(name) {
                if key.hasPrefix("@request.auth.claims") {
                    check(claim: key, value, isMesh)
                } else if ![":authority", ":method", ":path", ":scheme"].contains(key), let problem = Self.fieldNameProblem(key) {
                    findings.error(value.position, value.path, "header name \"\(key.prefix(64))\" \(problem)")
                }
            }
        }
    }

    /// `@request.auth.claims.NAME` and `@request.auth.claims[NAME]`: routing by the claims of a token that a gateway verified.
    private func check(claim key: String, _ value: NodeReader, _ isMesh: Bool) {
        let rest = key.dropFirst("@request.auth.claims".count)
        let names =
            rest.hasPrefix(".")
            ? rest.dropFirst().split(separator: ".", omittingEmptySubsequences: false)
            : rest.hasPrefix("[") && rest.hasSuffix("]")
                ? rest.dropFirst().dropLast().split(separator: "][", omittingEmptySubsequences: false) : []
        if names.isEmpty || names.contains(where: { $0.isEmpty || $0.contains("[") || $0.contains("]") }) {
            findings.error(
                value.position, value.path,
                "\"\(key.prefix(128))\" names no claim; write @request.auth.claims.NAME or @request.auth.claims[NAME][NAME]")
        } else if isMesh {
            findings.error(value.position, value.path, "claims of a token are matched at gateways only; list gateways without mesh")
        }
    }

    /// Nil when a header field may be called so.
    static func fieldNameProblem(_ name: String) -> String? {
        if name.isEmpty { return "is empty" }
        if name.hasPrefix(":") { return "is not a header; match uri, method, scheme or authority" }
        let isToken = name.utf8.allSatisfy { ObjectName.isAlphanumeric($0) || "!#$%&'*+-.^_`|~".utf8.contains($0) }
        return isToken ? nil : "has characters that header names cannot have (RFC 9110 section 5.1)"
    }

    /// `headers` of a route or of one destination. Values and other names are looked at where they are compiled (SKN0309, SKN0311,
    /// SKN0316). Source: Istio's validation of header operations: pseudo-fields stay, the authority is a request's and is set once.
    func check(headerOperations headers: NodeReader, rewrite: NodeReader? = nil) {
        let rewritten = rewrite?.string("authority")
        var authority: String?
        for side in ["request", "response"] {
            guard let operations = headers.child(side) else { continue }
            for kind in ["set", "add"] {
                for (name, value) in operations.entries(kind) {
                    guard isAuthority(name) else {
                        if name.hasPrefix(":") {
                            findings.error(
                                value.position, value.path,
                                "\"\(name.prefix(64))\" is not a header field; a rule changes it by rewrite or not at all")
                        }
                        continue
                    }
                    if side == "response" {
                        findings.error(value.position, value.path, "a response has no \(name)")
                    } else if let authority {
                        findings.error(value.position, value.path, "the authority is set twice: also by \(authority). Keep one of them.")
                    } else {
                        // Istio refuses it; here it is settled which one wins (docs/traffic.md).
                        if let rewritten {
                            findings.warn(value.position, value.path, "has no effect: rewrite.authority \"\(rewritten)\" wins")
                        }
                        authority = "\(kind) of \"\(name)\""
                    }
                }
            }
            for (name, position, path) in operations.positionedStrings("remove") where isAuthority(name) || name.hasPrefix(":") {
                findings.error(position, path, "\"\(name.prefix(64))\" cannot be removed: no request is without it")
            }
        }
    }

    private func isAuthority(_ name: String) -> Bool { [":authority", "host"].contains(name.lowercased()) }

    /// Methods that Go's net/http names, which Istio accepts.
    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"]

    func check(corsPolicy cors: NodeReader) {
        findings.duration(cors, "maxAge", zeroAllowed: true)
        if let age = cors.nanoseconds("maxAge"), age > 0, age % 1_000_000_000 != 0 {
            findings.error(
                cors.position("maxAge"), "\(cors.path).maxAge",
                "access-control-max-age counts whole seconds, got \"\(cors.string("maxAge") ?? "")\"", code: .badDuration)
        }
        if cors.has("allowOrigin"), cors.has("allowOrigins") {
            findings.error(
                cors.position("allowOrigin"), "\(cors.path).allowOrigin",
                "allowOrigin and allowOrigins exclude each other; keep allowOrigins")
        }
        for origin in cors.children("allowOrigins")
        where !["exact", "prefix", "regex"].contains(where: { origin.string($0)?.isEmpty == false }) {
            findings.error(origin.position, origin.path, "one of exact, prefix or regex is required, not empty")
        }
        for (method, position, path) in cors.positionedStrings("allowMethods") where !Self.methods.contains(method) {
            findings.error(
                position, path, "\"\(method.prefix(64))\" is not accepted; one of \(Self.methods.sorted().joined(separator: ", "))")
        }
        for name in ["allowHeaders", "exposeHeaders"] {
            for (header, position, path) in cors.positionedStrings(name) where header != "*" {
                if let problem = Self.fieldNameProblem(header) {
                    findings.error(position, path, "header name \"\(header.prefix(64))\" \(problem)")
                }
            }
        }
    }
}
