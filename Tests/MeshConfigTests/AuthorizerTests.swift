@testable import MeshConfig
import Testing

/// External authorizers among `meshConfig.extensionProviders`: what is read, and what is refused before anybody is asked.
@Suite struct AuthorizerTests {
    private static func load(_ kind: String, _ settings: String) -> (ExternalAuthorizerSettings?, [String]) {
        let provider = "{name: ask, \(kind): {service: shop/Authz.local, port: 9000\(settings.isEmpty ? "" : ", " + settings)}}"
        let (mesh, list) = TestFiles.load(
            TestFiles.resource("IstioOperator", "meshConfig: {extensionProviders: [\(provider)]}", namespace: "istio-system"))
        let errors = list.errors.map(\.field)
        guard case .externalAuthorizer(let settings)? = mesh.mesh.provider(named: "ask")?.configuration else { return (nil, errors) }
        return (settings, errors)
    }

    /// Istio's defaults: 600 s, 403, closed.
    @Test(arguments: ["envoyExtAuthzHttp", "envoyExtAuthzGrpc"]) func defaults(kind: String) throws {
        let (read, errors) = Self.load(kind, "")
        let settings = try #require(read)
        #expect(errors == [] && settings.host == "authz.local" && settings.namespace == "shop" && settings.port == 9000)
        #expect(settings.timeoutNanoseconds == 600_000_000_000 && settings.statusOnError == 403 && !settings.isFailOpen)
        #expect(settings.body == nil && !settings.clearsRouteCache)
    }

    /// The field of old is read together with the one that took its place.
    @Test func listsOfHeaders() throws {
        let lists = "includeHeadersInCheck: [x-old], includeRequestHeadersInCheck: [x-new, 'x-pre*'], "
            + "includeAdditionalHeadersInCheck: {X-A: b}"
        let (read, errors) = Self.load("envoyExtAuthzHttp", lists + ", timeout: 1.5s, statusOnError: '503'")
        let settings = try #require(read)
        guard case .http(let http) = settings.transport else {
            Issue.record("it is asked by HTTP")
            return
        }
        #expect(errors == [] && http.includedHeaders == ["x-new", "x-pre*", "x-old"])
        #expect(http.additionalHeaders.map(\.name) == ["X-A"] && http.additionalHeaders.map(\.value) == ["b"])
        #expect(settings.timeoutNanoseconds == 1_500_000_000 && settings.statusOnError == 503)
    }

    @Test(arguments: [
        "pathPrefix: check", "pathPrefix: '/a b'", "statusOnError: '100'", "statusOnError: forbidden", "timeout: 0s", "timeout: soon",
        "includeRequestBodyInCheck: {}", "includeRequestBodyInCheck: {maxRequestBytes: 0}",
        "includeRequestBodyInCheck: {maxRequestBytes: 100000000}", "headersToUpstreamOnAllow: ['a*b']", "headersToUpstreamOnAllow: ['x y']",
        "headersToDownstreamOnDeny: [':path']", "headersToDownstreamOnAllow: ['']", "includeAdditionalHeadersInCheck: {'x y': a}",
        "includeAdditionalHeadersInCheck: {x: \"a\\r\\nb\"}",
    ])
    func whatCannotBeIsAnError(settings: String) {
        let (_, errors) = Self.load("envoyExtAuthzHttp", settings)
        #expect(errors.count == 1, "\(settings): \(errors)")
        #expect(errors.allSatisfy { $0.hasPrefix("spec.meshConfig.extensionProviders[0].envoyExtAuthzHttp") }, "\(errors)")
    }
}
