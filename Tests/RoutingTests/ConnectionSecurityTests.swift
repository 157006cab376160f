import MeshConfig
import Primitives
import Routing
import Testing

/// What connections are secured with, in single cases; all cases together are in `ConnectionSecurityTableTests`.
@Suite struct ConnectionSecurityTests {
    static func destinationRule(_ policy: String, host: String = "a.local", more: String = "") -> String {
        Mesh.resource("DestinationRule", "d", "host: \(host)\ntrafficPolicy: \(policy)\n\(more)")
    }

    static func service(
        _ host: String = "a.local", protocol name: String = "HTTP", location: String = "MESH_INTERNAL",
        endpoints: String = "[{address: 10.0.0.1, serviceAccount: web, labels: {security.istio.io/tlsMode: istio}}]", extra: String = ""
    ) -> String {
        Mesh.resource(
            "ServiceEntry", "a", namespace: "shop",
            "hosts: ['\(host)']\nlocation: \(location)\nresolution: STATIC\nports: [{number: 80, name: p, protocol: \(name)}]\n"
                + "addresses: [10.9.9.9]\nendpoints: \(endpoints)\n\(extra)")
    }

    static func mesh(_ yaml: String, hasIdentity: Bool = true) -> Mesh { Mesh(yaml) { $0.hasIdentity = hasIdentity } }

    /// Of the first endpoint of the service's one port.
    static func security(_ yaml: String, _ cluster: String = "outbound|80||a.local", hasIdentity: Bool = true) -> UpstreamSecurity? {
        let mesh = mesh(yaml, hasIdentity: hasIdentity)
        #expect(mesh.errors.isEmpty, "\(mesh.errors.map(\.text))")
        return mesh.securities(cluster).first ?? nil
    }

    // MARK: The mesh's own certificates

    /// A server that is not the endpoint's own service account must be refused, whoever of the mesh it is.
    @Test func mutualTLSAsksForTheEndpointsOwnAccount() throws {
        let security = try #require(Self.security(Self.service()))
        #expect(security.mode == .istioMutual && !security.skipsVerification && !security.verifiesHost)
        #expect(security.names == ["spiffe://cluster.local/ns/shop/sa/web"])
        #expect(security.serverName == "outbound_.80_._.a.local")
        #expect(security.authorities.isEmpty && security.certificate.isEmpty && security.key.isEmpty)
    }

    @Test func everyTrustDomainOfTheMeshCounts() throws {
        let settings =
            "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: m}\n"
            + "spec: {meshConfig: {trustDomain: new.example, trustDomainAliases: [old.example, cluster.local]}}\n---\n"
        let names = "subjectAltNames: ['spiffe://elsewhere/ns/x/sa/y', db.example]"
        let security = try #require(Self.security(settings + Self.service(extra: names)))
        #expect(
            security.names == [
                "spiffe://elsewhere/ns/x/sa/y", "spiffe://old.example/ns/x/sa/y", "spiffe://cluster.local/ns/x/sa/y", "db.example",
                "spiffe://new.example/ns/shop/sa/web", "spiffe://old.example/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/web",
            ])
    }

    @Test func aRulesNamesReplaceAllOthers() throws {
        let rule = Self.destinationRule("{tls: {mode: ISTIO_MUTUAL, sni: other, subjectAltNames: [x, x.y, x]}}")
        let security = try #require(Self.security(Self.service(extra: "subjectAltNames: [z]") + rule))
        #expect(security.names == ["x", "x.y"] && security.serverName == "other")
    }

    /// The certificates that a rule names by mistake are not those of the mesh.
    @Test func istioMutualTakesNoFilesOfTheRule() throws {
        let rule = Self.destinationRule("{tls: {mode: ISTIO_MUTUAL, insecureSkipVerify: true}}")
        let security = try #require(Self.security(Self.service() + rule))
        #expect(!security.skipsVerification && security.authorities.isEmpty)
    }

    @Test func endpointsWithoutAccountMayBeAnybodyOfTheMesh() throws {
        let endpoints = "[{address: 10.0.0.1, labels: {security.istio.io/tlsMode: istio}}]"
        #expect(try #require(Self.security(Self.service(endpoints: endpoints))).names == [])
    }

    @Test func subsetsHaveServerNamesOfTheirOwn() throws {
        let rule = Self.destinationRule("{tls: {mode: ISTIO_MUTUAL}}", more: "subsets: [{name: v1}]")
        let route = Mesh.resource("VirtualService", "v", "hosts: [a.local]\nhttp: [{route: [{destination: {host: a.local, subset: v1}}]}]")
        let security = try #require(Self.security(Self.service() + rule + route, "outbound|80|v1|a.local"))
        #expect(security.serverName == "outbound_.80_.v1_.a.local")
    }

    @Test(arguments: [
        ("HTTP", "{tls: {mode: ISTIO_MUTUAL}}", ["istio-http/1.1", "istio", "http/1.1"]),
        ("GRPC", "{tls: {mode: ISTIO_MUTUAL}}", ["istio-h2", "istio", "h2"]),
        ("HTTP", "{tls: {mode: ISTIO_MUTUAL}, connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}", ["istio-h2", "istio", "h2"]),
        // Nothing here speaks the protocol that istio-peer-exchange stands for.
        ("TCP", "{tls: {mode: ISTIO_MUTUAL}}", ["istio"]),
        // The server chooses, unless it is not to.
        ("HTTP", "{tls: {mode: SIMPLE}}", ["h2", "http/1.1"]),
        ("HTTP", "{tls: {mode: SIMPLE}, connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}}", ["http/1.1"]),
        ("HTTP", "{tls: {mode: SIMPLE}, connectionPool: {http: {useClientProtocol: true}}}", ["http/1.1"]), ("HTTP2", "{tls: {mode: SIMPLE}}", ["h2"]), ("TCP", "{tls: {mode: SIMPLE}}", []),
    ])
    func protocolsAreThoseOfThePort(port: String, policy: String, expected: [String]) throws {
        let security = try #require(Self.security(Self.service(protocol: port) + Self.destinationRule(policy)))
        #expect(security.protocols == expected)
    }

    // MARK: Certificates of the rule

    @Test func simpleVerifiesTheHost() throws {
        let security = try #require(Self.security(Self.service() + Self.destinationRule("{tls: {mode: SIMPLE}}"), hasIdentity: false))
        #expect(security.mode == .simple && security.verifiesHost && security.names == [] && security.serverName == "a.local")
        #expect(security.authorities == "" && security.certificate == "")
    }

    @Test func mutualHasTheFilesOfTheRule() throws {
        let rule = Self.destinationRule(
            "{tls: {mode: MUTUAL, sni: s, caCertificates: /ca, clientCertificate: /c, privateKey: /k, subjectAltNames: [n.local]}}")
        let security = try #require(Self.security(Self.service() + rule, hasIdentity: false))
        #expect(security.mode == .mutual && security.serverName == "s" && security.names == ["n.local"] && !security.verifiesHost)
        #expect(security.authorities == "/ca" && security.certificate == "/c" && security.key == "/k")
    }

    /// An `sni` alone must not turn the check of the name off: any certificate of a public authority would do.
    @Test func aServerNameIsVerified() throws {
        let security = try #require(Self.security(Self.service() + Self.destinationRule("{tls: {mode: SIMPLE, sni: s}}")))
        #expect(security.verifiesHost && security.serverName == "s")
    }

    @Test func namesOfTheServiceCountWhereTheRuleHasNone() throws {
        let service = Self.service(extra: "subjectAltNames: [z]")
        #expect(try #require(Self.security(service + Self.destinationRule("{tls: {mode: SIMPLE}}"))).names == ["z"])
        let rule = Self.destinationRule("{tls: {mode: SIMPLE, subjectAltNames: [n.local]}}")
        #expect(try #require(Self.security(service + rule)).names == ["n.local"])
    }

    @Test func skippingVerificationSkipsAllOfIt() throws {
        let rule = Self.destinationRule("{tls: {mode: SIMPLE, insecureSkipVerify: true}}")
        let security = try #require(Self.security(Self.service(extra: "subjectAltNames: [z]") + rule))
        #expect(security.skipsVerification && !security.verifiesHost && security.names == [])
    }

    /// A wildcard is no name to send or to compare; what a client dialled is secured like an endpoint.
    @Test func dialledAddressesAreSecuredByTheRule() throws {
        let service = Mesh.resource(
            "ServiceEntry", "w", "hosts: ['*.example.com']\nresolution: NONE\nports: [{number: 443, name: p, protocol: HTTP}]")
        let mesh = Self.mesh(service + Self.destinationRule("{tls: {mode: SIMPLE}}", host: "'*.example.com'"))
        let cluster = try #require(mesh.cluster(named: "outbound|443||*.example.com"))
        #expect(cluster.endpoints.isEmpty && cluster.dialledSecurity >= 0)
        let security = mesh.snapshot.upstreamSecurities[Int(cluster.dialledSecurity)]
        #expect(security.serverName == "" && security.verifiesHost)
        #expect(try #require(Self.mesh(service).cluster(named: "outbound|443||*.example.com")).dialledSecurity == -1)
    }

    // MARK: The list

    /// Contexts of TLS are made one for each security, so equal ones must be one.
    @Test func equalSecuritiesAreOne() throws {
        let label = "labels: {security.istio.io/tlsMode: istio}"
        let endpoints =
            "[{address: 10.0.0.1, serviceAccount: x, \(label)}, {address: 10.0.0.2, serviceAccount: x, \(label)}, "
            + "{address: 10.0.0.3, serviceAccount: y, \(label)}, {address: 10.0.0.4}]"
        let mesh = Self.mesh(Self.service(endpoints: endpoints))
        let cluster = try #require(mesh.cluster(named: "outbound|80||a.local"))
        #expect(cluster.endpoints.indices.map { unsafe mesh.snapshot.tables.endpoint($0).security } == [0, 0, 1, -1])
        #expect(mesh.snapshot.upstreamSecurities.count == 2)
    }

    // MARK: What is said

    @Test func plaintextForLackOfAnIdentityIsSaidOnce() throws {
        let mesh = Self.mesh(Self.service(), hasIdentity: false)
        #expect(mesh.securities("outbound|80||a.local") == [nil])
        let said = mesh.diagnostics.filter { $0.code == "SKN0203" }
        #expect(said.count == 1 && said[0].severity == .notice && said[0].message.contains("--identity DIRECTORY"))
        #expect(said[0].message.hasPrefix("1 endpoint takes mutual TLS"))
        #expect(Self.mesh(Self.service()).diagnostics.allSatisfy { $0.code != "SKN0203" })
    }

    @Test func credentialsAndListsBelongToTheSecurity() throws {
        let named = try #require(Self.security(Self.service() + Self.destinationRule("{tls: {mode: MUTUAL, credentialName: c}}")))
        #expect(named.mode == .mutual && named.credentialName == "c" && named.certificate == "" && named.revocations == "")
        let rule = Self.destinationRule("{tls: {mode: SIMPLE, caCertificates: /ca, caCrl: /crl}}")
        let listed = try #require(Self.security(Self.service() + rule))
        #expect(listed.authorities == "/ca" && listed.revocations == "/crl")
    }

    @Test func mutualTLSWithoutAnIdentityIsRefused() {
        let mesh = Self.mesh(Self.service() + Self.destinationRule("{tls: {mode: ISTIO_MUTUAL}}"), hasIdentity: false)
        #expect(mesh.errors.map { "\($0.code) \($0.field)" } == ["SKN0202 tls.mode ISTIO_MUTUAL"])
    }

    @Test func whoDecidedIsTold() throws {
        func told(_ yaml: String, hasIdentity: Bool = true) throws -> [String] {
            let mesh = Mesh(yaml) {
                $0.hasIdentity = hasIdentity
                $0.allowsUnenforced = true
            }
            let place = try #require((0..<mesh.snapshot.clusterCount).first { mesh.cluster_($0) == "outbound|80||a.local" })
            let endpoints = unsafe mesh.snapshot.tables.cluster(place).endpoints.indices
            return [mesh.snapshot.securityText(ofCluster: place)] + endpoints.map { mesh.snapshot.securityText(ofEndpoint: $0) }
        }
        let mutual = Self.destinationRule("{tls: {mode: ISTIO_MUTUAL}}")
        let by = "ISTIO_MUTUAL by DestinationRule default/d (t.yaml:6:24)"
        let identified = try told(mutual + Self.service())
        let who = "must be spiffe://cluster.local/ns/shop/sa/web under the mesh"
        #expect(identified == [by, "mutual TLS of the mesh with server name outbound_.80_._.a.local, \(who)"])
        let unidentified = try told(mutual + Self.service(), hasIdentity: false)
        #expect(unidentified == ["plaintext in place of \(by): the process has no identity", "plaintext"])
        #expect(
            try told(Self.destinationRule("{tls: {mode: SIMPLE, insecureSkipVerify: true}}") + Self.service())[1]
                == "TLS with server name a.local, NOT verified")
        let refusal =
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: none, namespace: shop}\n"
            + "spec: {mtls: {mode: DISABLE}}\n---\n"
        let refused = try told(refusal + Self.service())
        #expect(
            refused == [
                "automatic: mutual TLS to endpoints labelled security.istio.io/tlsMode: istio",
                "plaintext: PeerAuthentication shop/none (t.yaml:2:7) says DISABLE",
            ])
        #expect(
            try told(Self.service(endpoints: "[{address: 10.0.0.1}]"))[1] == "plaintext: it has no label security.istio.io/tlsMode: istio")
        #expect(try told(Self.service(location: "MESH_EXTERNAL"))[0].hasPrefix("plaintext: the service is outside of the mesh"))
    }
}

extension Mesh {
    /// Of each endpoint of a cluster; nil = plaintext.
    func securities(_ cluster: String) -> [UpstreamSecurity?] {
        (self.cluster(named: cluster)?.endpoints.indices ?? 0..<0).map { index in
            let security = unsafe snapshot.tables.endpoint(index).security
            return security < 0 ? nil : snapshot.upstreamSecurities[Int(security)]
        }
    }
}
