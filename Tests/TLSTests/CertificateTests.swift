@testable import TLS
import Testing

/// Certificates that this program makes are what the books want, and what it reads is what stands in them.
@Suite struct CertificateTests {
    static let year = CertificateIssuer.Validity(notBefore: 1_790_000_000, notAfter: 1_821_536_000)

    static func root(_ name: String = "root") throws -> CertificateIssuer {
        try CertificateIssuer.root(name: name, organization: "cluster.local", key: PrivateKey.generate(), year)
    }

    @Test func aRootSignsItself() throws {
        let root = try Self.root().certificate
        #expect(root.subject == "CN=root,O=cluster.local" && root.issuer == root.subject)
        #expect(root.isAuthority && root.keyUsage == Certificate.usageSignsCertificates | Certificate.usageSignsLists)
        #expect(root.notBefore == Self.year.notBefore && root.notAfter == Self.year.notAfter)
        #expect(root.serial.count == 32 && root.fingerprint.count == 32)
        #expect(try Certificate(der: root.der()) == root)
        #expect(try Certificate.chain(pem: root.pem()) == [root])
    }

    @Test func aWorkloadsIsAnSVID() throws {
        let root = try Self.root()
        let id = try SPIFFEID("spiffe://cluster.local/ns/default/sa/reviews")
        let key = try PrivateKey.generate()
        let request = try CertificateRequest(pem: CertificateRequest(for: id, key: key).pem())
        #expect(request.wishedURIs == [Array(id.description.utf8)])
        let leaf = try root.issue(request, for: id, Self.year)
        #expect(key.matches(leaf) && !root.key.matches(leaf))
        #expect(try SVIDRules.identity(of: leaf, as: .server) == id && SVIDRules.identity(of: leaf, as: .client) == id)
        #expect(leaf.subject.isEmpty && leaf.issuer == "CN=root,O=cluster.local" && !leaf.isAuthority)
        let copy = try PrivateKey(pem: key.pem())
        #expect(copy.matches(leaf) && copy.kind == .ecdsa)
    }

    @Test func whatIsNoSVIDIsSaid() throws {
        let root = try Self.root()
        let key = try PrivateKey.generate()
        let server = try root.issue(name: "web", for: key, .server(names: ["web.local"], addresses: ["127.0.0.1"]), Self.year)
        #expect(throws: SVIDRules.Problem.noURI) { try SVIDRules.identity(of: server, as: .server) }
        #expect(server.alternativeNames(.dns) == [Array("web.local".utf8)] && server.alternativeNames(.address) == [[127, 0, 0, 1]])
        let authority = try root.issue(name: "between", for: key, .authority(pathLength: 0), Self.year)
        #expect(throws: SVIDRules.Problem.noURI) { try SVIDRules.identity(of: authority, as: .server) }
    }

    @Test func filesAreReadWhole() throws {
        let root = try Self.root()
        let key = try PrivateKey.generate(.rsa(bits: 2048))
        let between = try root.issue(name: "between", for: key, .authority(pathLength: 0), Self.year)
        #expect(try Certificate.chain(pem: between.pem() + root.certificate.pem()) == [between, root.certificate])
        #expect(throws: TLSError.self) { try Certificate.chain(pem: Array("hello".utf8)) }
        #expect(throws: TLSError.self) { try Certificate.chain(pem: []) }
        let whole = between.pem()
        #expect(throws: TLSError.self, "half a certificate behind a whole one") {
            try Certificate.chain(pem: whole + whole.prefix(whole.count / 2) + Array("\n-----END CERTIFICATE-----\n".utf8))
        }
        #expect(throws: TLSError.self) { try PrivateKey(pem: whole) }
        #expect(throws: TLSError.self) { try Certificate(der: between.der() + [0]) }
        #expect(key.kind == .rsa(bits: 2048))
        #expect(throws: TLSError.self) { try PrivateKey.generate(.rsa(bits: 1024)) }
    }

    /// Whatever stands in a file: a value or an error, never the end of the process.
    @Test func everyCutAndFlipIsAnError() throws {
        let root = try Self.root()
        let der = root.certificate.der()
        for length in stride(from: 0, to: der.count, by: 7) {
            #expect(throws: TLSError.self) { try Certificate(der: Array(der[..<length])) }
        }
        for index in stride(from: 0, to: der.count, by: 5) {
            var bytes = der
            bytes[index] ^= 0x55
            if let odd = try? Certificate(der: bytes) {
                _ = (odd.subject, odd.issuer, odd.serial, odd.notAfter, odd.keyUsage, odd.isAuthority, odd.isForClients, odd.fingerprint)
                _ = try? SVIDRules.identity(of: odd, as: .client)
            }
        }
    }
}
