import HTTP
import JOSE
import MeshConfig
import Policy
import Primitives
import TelemetryModel
import Testing

/// Two issuers with a key each, and a workload with rules.
struct TokenWorld {
    static let now: Int64 = 1_800_000_000
    static let issuers = ["https://a.example", "https://b.example"]

    let signers: [TokenSigner]
    /// Signs like the first one, with a key that nobody knows.
    let forger: TokenSigner
    let keySets: [String]

    init() throws {
        let keys = try (0..<3).map { _ in try SigningKey.generate(for: .es256) }
        signers = try keys.prefix(2).map { try TokenSigner($0, keyID: "k") }
        forger = try TokenSigner(keys[2], keyID: "k")
        keySets = keys.prefix(2).map { "{\"keys\":[\($0.publicKey.json(keyID: "k"))]}" }
    }

    /// Compiles the rules of a RequestAuthentication, in YAML's flow style; `KEYS0` and `KEYS1` stand for the issuers' keys.
    func compile(_ rules: String, keys: IssuerKeys = IssuerKeys(), names: Catalogs = Catalogs()) -> (TokenRuleSet, [Diagnostic]) {
        var rules = rules
        for (index, set) in keySets.enumerated() {
            rules = rules.replacing("KEYS\(index)", with: "\"\(set.replacing("\"", with: "\\\""))\"")
        }
        let text = """
            apiVersion: security.istio.io/v1
            kind: RequestAuthentication
            metadata: {name: r, namespace: a}
            spec: {jwtRules: \(rules)}
            """
        let (mesh, diagnostics) = MeshConfiguration.load(texts: [(name: "mesh.yaml", text: text)])
        #expect(!diagnostics.hasErrors, "\(diagnostics.lines)")
        return RequestAuthenticationCompiler.compile(mesh, namespace: "a", labels: [:], names: names, keys: keys)
    }
}

/// A request as a test writes it.
struct TokenQuestion {
    var fields: [(name: String, value: String)] = []
    /// With its question mark.
    var query = ""

    func ask(
        _ authenticator: inout TokenAuthenticator, _ rules: TokenRuleSet, now: UInt64 = 1_000_000_000_000,
        unixSeconds: Int64 = TokenWorld.now, mayWait: Bool = true
    ) -> TokenDecision {
        let lines = fields.map { "\($0.name): \($0.value)\r\n" }.joined()
        let text = Array("GET / HTTP/1.1\r\nHost: x\r\n\(lines)\r\n".utf8)
        let query = Array(query.utf8)
        var head = MessageHead()
        var scan = HeadScan()
        return unsafe text.withUnsafeBytes { bytes in
            precondition(unsafe HeadParser.parseRequest(bytes, scan: &scan, limits: HTTPLimits(), into: &head) == .complete)
            return unsafe query.withUnsafeBytes { query in
                unsafe authenticator.judge(
                    rules.tables, head, query: LentBytes(query), now: MonotonicInstant(nanoseconds: now), unixSeconds: unixSeconds,
                    mayWait: mayWait)
            }
        }
    }
}

extension TokenDecision {
    /// `absent`, `rule 1`, `refused Jwt is expired`, `waits`.
    var words: String {
        switch self {
        case .absent: "absent"
        case .verified(let rule): "rule \(rule)"
        case .refused(let refusal): "refused \(refusal.text)"
        case .waits: "waits"
        }
    }
}
