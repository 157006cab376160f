import HTTP
import MeshConfig
import Primitives
import TelemetryModel
import Testing

@testable import Policy

/// Whom the policies of action CUSTOM ask, and what is told and taken.
@Suite struct ExternalAuthorizerTests {
    private static let providers = """
        apiVersion: install.istio.io/v1alpha1
        kind: IstioOperator
        metadata: {name: mesh, namespace: istio-system}
        spec:
          meshConfig:
            extensionProviders:
            - {name: one, envoyExtAuthzHttp: {service: one.local, port: 80, headersToDownstreamOnDeny: [x-why]}}
            - {name: two, envoyExtAuthzGrpc: {service: two.local, port: 80, includeRequestBodyInCheck: {maxRequestBytes: 100}}}
            - {name: log, envoyFileAccessLog: {path: /dev/null}}
        ---

        """

    private static func policy(_ name: String, _ provider: String, _ rules: String = "[{}]") -> String {
        AuthorizationTests.policy(name, "{action: CUSTOM, provider: {name: \(provider)}, rules: \(rules)}")
    }

    private static func compile(_ yaml: String) -> (AuthorizationSet, [Diagnostic]) {
        let (mesh, list) = MeshConfiguration.load(texts: [(name: "t.yaml", text: providers + yaml)])
        #expect(!list.hasErrors, "\(list.items.map(\.text))")
        return AuthorizationCompiler.compile(mesh, namespace: "a", labels: [:], names: Catalogs(), catalog: RuleCatalog())
    }

    @Test func oneProviderIsAsked() throws {
        let (set, problems) = Self.compile(Self.policy("p", "one") + Self.policy("q", "one", "[{to: [{operation: {paths: [/x]}}]}]"))
        #expect(problems.isEmpty && set.authorizer?.name == "one" && set.authorizer?.authority == "one.local:80")
        #expect(set.tables.hasCustom && set.tables.isEmpty, "nothing is judged here")
        #expect(Self.compile("").0.authorizer == nil && !Self.compile("").0.tables.hasCustom)
    }

    /// A mistake must not let anybody in: such a set is not adopted.
    @Test(arguments: [
        (["nobody"], ["SKN0321"]), (["log"], ["SKN0321"]), (["envoy"], ["SKN0321"]), (["one", "two"], ["SKN0322", "SKN0322"]),
        (["one", "nobody"], ["SKN0321", "SKN0322", "SKN0322"]),
    ])
    func providersThatCannotBeAskedAreErrors(names: [String], codes: [String]) {
        let (set, problems) = Self.compile(names.enumerated().map { Self.policy("p\($0.offset)", $0.element) }.joined())
        #expect(problems.map(\.code) == codes && problems.allSatisfy { $0.severity == .error && $0.position.line > 10 })
        #expect(set.authorizer == nil)
    }

    /// The rules are those of DENY policies: of a request they match what they would deny.
    @Test func rulesMatchAsThoseThatDeny() {
        let rules = "[{to: [{operation: {paths: ['/admin*']}}]}, {when: [{key: 'request.headers[x-a]', values: ['1']}]}]"
        let (set, _) = Self.compile(Self.policy("p", "one", rules))
        func matches(_ path: String, _ fields: [(String, String)] = []) -> Bool {
            var question = AuthorizationQuestion()
            question.path = path
            question.fields = fields.map { (name: $0.0, value: $0.1) }
            return question.ask { set.tables.customMatch($0, $1).isThere }
        }
        #expect(matches("/admin/x") && !matches("/open"))
        // A member of a list is enough, as with DENY.
        #expect(matches("/open", [("x-a", "2,1")]) && !matches("/open", [("x-a", "2")]))
    }

    @Test func aRefusedClientGetsAListAndLittleElse() throws {
        let authorizer = try #require(Self.compile(Self.policy("p", "one")).0.authorizer)
        for name in ["x-why", "X-Why", "www-authenticate", "Location"] {
            #expect(authorizer.passesToRefused(LentBytes(copying: name)), "\(name)")
        }
        for name in ["x-other", "content-length", "server", "date", "connection", ":status"] {
            #expect(!authorizer.passesToRefused(LentBytes(copying: name)), "\(name)")
        }
    }

    /// Counters go on over reloads, and a provider beyond the bound never takes another's.
    @Test func providersKeepTheirCounters() {
        let catalog = AuthorizerCatalog()
        let slots = (0..<AuthorizerCatalog.slotsMax - 1).map { catalog.slot(of: "p\($0)") }
        #expect(Set(slots).count == slots.count && !slots.contains(.other))
        #expect(catalog.slot(of: "p5") == slots[5] && catalog.slot(of: "more") == .other)
        let counters = AuthorizerCounters()
        for outcome in CheckOutcome.allCases { counters.record(outcome, of: slots[slots.count - 1]) }
        for outcome in CheckOutcome.allCases { #expect(counters.count(outcome, of: slots[slots.count - 1]) == 1) }
        #expect(CheckOutcome.allCases.allSatisfy { counters.count($0, of: .other) == 0 })
    }

    /// What is told by gRPC can be read again, whatever the request is made of.
    @Test func aSubjectIsTold() throws {
        let authorizer = try #require(Self.compile(Self.policy("p", "two")).0.authorizer)
        var head = MessageHead()
        head.beginRequest(method: "GET", target: "/", authority: "a")
        for (name, value) in [("X-A", "1"), ("x-b", "\u{E9}"), ("x-a", "2")] { head.add(name: name, value: value) }
        var subject = CheckSubject()
        subject.method = LentBytes("POST")
        subject.target = LentBytes("/a?b")
        subject.authority = LentBytes("a.local")
        subject.body = LentBytes("text")
        subject.isPartial = true
        var message = CheckRequestMessage()
        message.write(subject, head, authorizer)
        let frame = message.frame
        #expect(frame[0] == 0 && frame[1..<5].reduce(0) { $0 << 8 | Int($1) } == frame.count - 5)
        let http = try #require(Self.field(2, of: Self.field(4, of: Self.field(1, of: message.message))))
        #expect(Self.texts(2, of: http) == ["POST"] && Self.texts(4, of: http) == ["/a?b"] && Self.texts(11, of: http) == ["text"])
        let headers = Self.all(3, of: http).map { "\(Self.texts(1, of: $0)[0])=\(Self.texts(2, of: $0).first ?? "")" }
        #expect(headers == [
            ":authority=a.local", ":method=POST", ":path=/a?b", ":scheme=http", "x-a=1,2", "x-b=\u{E9}", "x-envoy-auth-partial-body=true",
        ])
        // Of a connection there are its ends alone.
        subject.isHTTP = false
        message.write(subject, head, authorizer)
        #expect(Self.field(4, of: Self.field(1, of: message.message)) == nil)
    }

    private static func all(_ wanted: UInt64, of message: [UInt8]) -> [[UInt8]] {
        unsafe message.withUnsafeBytes { bytes in
            var (fields, found) = unsafe (ProtobufFields(LentBytes(bytes)), [[UInt8]]())
            while let (number, value) = fields.next() {
                if number == wanted, case .bytes(let bytes) = value { unsafe found.append(Array(bytes.buffer)) }
            }
            #expect(!fields.isBroken)
            return found
        }
    }
    private static func field(_ number: UInt64, of message: [UInt8]?) -> [UInt8]? { message.flatMap { all(number, of: $0).first } }
    private static func texts(_ number: UInt64, of message: [UInt8]) -> [String] {
        all(number, of: message).map { String(decoding: $0, as: UTF8.self) }
    }
}

extension LentBytes {
    /// Bytes that are never given back; for tests.
    fileprivate init(copying text: String) {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: text.utf8.count, alignment: 1)
        unsafe bytes.copyBytes(from: text.utf8)
        unsafe self.init(UnsafeRawBufferPointer(bytes))
    }
}
