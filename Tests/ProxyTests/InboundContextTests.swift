import TLS
import Testing

@testable import Proxy

/// What a worker makes of the process' identity.
@Suite struct InboundContextTests {
    private static func settings() throws -> TLSSettings {
        let validity = CertificateIssuer.Validity(notBefore: 1_790_000_000, notAfter: 1_821_536_000)
        let root = try CertificateIssuer.root(name: "root", organization: "cluster.local", key: PrivateKey.generate(), validity)
        var settings = TLSSettings()
        settings.credentials = try TLSCredentials(chain: [root.certificate], key: root.key)
        return settings
    }

    /// A port that takes mutual TLS alone must not be served in plaintext because TLS cannot be made.
    @Test func whatCannotBeMadeIsThereAllTheSame() throws {
        var settings = try Self.settings()
        settings.ciphers = "no such suite"
        let inbound = InboundContext(settings)
        #expect(inbound.context() == nil && inbound.problem != nil && inbound.isThere)
        #expect(inbound.context() == nil)
    }

    @Test func itIsMadeOnce() throws {
        let inbound = InboundContext(try Self.settings())
        let made = try #require(inbound.context())
        #expect(inbound.context() === made && inbound.isThere)
        #expect(!InboundContext(nil).isThere && InboundContext(nil).context() == nil)
    }
}
