import MeshConfig
import Testing

/// `tls` of a Gateway's server.
@Suite struct ServerTLSTests {
    private static func gateway(_ tls: String) -> String {
        TestFiles.resource("Gateway", "servers:\n- port: {number: 443, name: https, protocol: HTTPS}\n  hosts: [a.x]\n  tls: \(tls)")
    }

    private static let hash = String(repeating: "ab", count: 32)

    @Test func everyFieldIsRead() throws {
        let (configuration, list) = TestFiles.load(
            Self.gateway(
                "{mode: MUTUAL, credentialNames: [a, b], caCertCredentialName: c, subjectAltNames: [name], minProtocolVersion: TLSV1_3, "
                    + "cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256, '[A|B]'], verifyCertificateHash: ['\(Self.hash)']}"))
        #expect(list.items.isEmpty, "\(list.lines)")
        let tls = try #require(configuration.gateways.first?.servers.first?.tls)
        #expect(tls.mode == .mutual && tls.isTerminating && tls.asksClients && tls.credentialNames == ["a", "b"])
        #expect(tls.caCredentialName == "c" && tls.subjectAltNames == ["name"] && tls.certificateHashes == [Self.hash])
        #expect(tls.versionMin == .tls13 && tls.versionMax == .tls13 && tls.cipherSuites == ["ECDHE-RSA-AES128-GCM-SHA256", "[A|B]"])
    }

    @Test func pathsAreRead() throws {
        let (configuration, list) = TestFiles.load(
            Self.gateway(
                "{mode: OPTIONAL_MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca, caCrl: /crl, "
                    + "cipherSuites: [NO-SUCH]}"))
        #expect(list.short == ["IST0133 spec.servers[0].tls.cipherSuites[0]"])
        let tls = try #require(configuration.gateways.first?.servers.first?.tls)
        #expect(tls.pairs == [ServerTLS.Pair(certificate: "/c", key: "/k")] && tls.authorities == "/ca" && tls.revocations == "/crl")
        #expect(tls.credentialNames.isEmpty && tls.cipherSuites.isEmpty && tls.versionMin == .tls12)
    }

    /// A name is a directory's: it must not lead out of the directory of credentials.
    @Test(arguments: ["..", "../x", "a/b", "/etc", "", ".hidden", "a b", "a\\0", String(repeating: "a", count: 254), "kubernetes://../x"])
    func namesStayInside(_ name: String) {
        let (_, list) = TestFiles.load(Self.gateway("{mode: SIMPLE, credentialName: '\(name)'}"))
        #expect(list.hasErrors, "\(name)")
    }

    @Test func sumsInBothSpellings() {
        let bytes = (0..<32).map { UInt8($0 * 8) }
        let digits = bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
        #expect(PinText.bytes(hexadecimal: digits.joined()) == bytes)
        #expect(PinText.bytes(hexadecimal: digits.joined(separator: ":").uppercased()) == bytes)
        #expect(PinText.bytes(base64: "AAgQGCAoMDhASFBYYGhweICIkJigqLC4wMjQ2ODo8Pg=") == bytes)
        for text in ["", "AAAA", digits.dropLast().joined(), digits.joined() + "00", String(repeating: "+g", count: 32)] {
            #expect(PinText.bytes(hexadecimal: text) == nil && PinText.bytes(base64: text) == nil, "\(text)")
        }
    }
}
