import Glibc
import Logging
import MeshConfig
import TLS
import Testing

@testable import MeshRuntime

/// Credentials of servers in a directory as somebody writes it.
@Suite struct CredentialFilesTests {
    private let directory: String
    private let validity = CertificateIssuer.Validity(notBefore: 1_790_000_000, notAfter: 2_821_536_000)
    private let root: CertificateIssuer

    init() throws {
        directory = "/tmp/skein-credentials-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        _ = unsafe mkdir(directory, 0o700)
        root = try CertificateIssuer.root(name: "root", organization: "x", key: PrivateKey.generate(), validity)
    }

    private func write(_ bytes: [UInt8], _ path: String) {
        _ = unsafe mkdir(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]), 0o755)
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
        close(file)
    }

    private func issue(_ name: String, _ names: (String, String) = ("tls.crt", "tls.key")) throws {
        let key = try PrivateKey.generate()
        let leaf = try root.issue(name: name, for: key, .server(names: ["a.x"], addresses: []), validity)
        write(leaf.pem(), "\(directory)/\(name)/\(names.0)")
        write(try key.pem(), "\(directory)/\(name)/\(names.1)")
    }

    private func tls(_ text: String) throws -> ServerTLS {
        let yaml = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec:\n  servers:\n"
            + "  - {port: {number: 443, name: s, protocol: HTTPS}, hosts: [a.x], tls: \(text)}\n"
        return try #require(MeshConfiguration.load(texts: [(name: "t.yaml", text: yaml)]).0.gateways.first?.servers.first?.tls)
    }

    private func load(_ text: String) throws -> CredentialSet {
        var warnings: [String] = []
        return try CredentialFiles(tls(text), directory: directory).load(warnings: &warnings)
    }

    /// Both layouts of secrets; the authorities' own secret comes before what stands beside the certificate.
    @Test func layouts() throws {
        try issue("a")
        try issue("b", ("cert", "key"))
        #expect(try load("{mode: SIMPLE, credentialName: a}").certificates.count == 1)
        #expect(try load("{mode: SIMPLE, credentialName: b}").certificates.count == 1)
        #expect(try load("{mode: SIMPLE, credentialName: 'kubernetes://a'}").certificates.count == 1)
        #expect(throws: TLSError.self) { try load("{mode: SIMPLE, credentialName: none}") }
        #expect(throws: TLSError.self) { try load("{mode: MUTUAL, credentialName: a}") }
        let other = try CertificateIssuer.root(name: "other", organization: "x", key: PrivateKey.generate(), validity)
        write(root.certificate.pem(), "\(directory)/a/ca.crt")
        #expect(try load("{mode: MUTUAL, credentialName: a}").roots == [root.certificate])
        write(other.certificate.pem(), "\(directory)/a-cacert/ca.crt")
        #expect(try load("{mode: MUTUAL, credentialName: a}").roots == [other.certificate])
        write(root.certificate.pem(), "\(directory)/third/cacert")
        #expect(try load("{mode: MUTUAL, credentialName: a, caCertCredentialName: third}").roots == [root.certificate])
        #expect(throws: TLSError.self) { try CredentialFiles(tls("{mode: SIMPLE, credentialName: a}"), directory: nil) }
    }

    /// A list that the configuration names must be there; one in a credential may be.
    @Test func revocationLists() throws {
        try issue("a")
        write(root.certificate.pem(), "\(directory)/a/ca.crt")
        #expect(try load("{mode: MUTUAL, credentialName: a}").revocations == nil)
        write(Array("no list".utf8), "\(directory)/a/ca.crl")
        #expect(throws: TLSError.self) { try load("{mode: MUTUAL, credentialName: a}") }
        write(try RevocationList.pem([], number: 1, by: root, validity), "\(directory)/a/ca.crl")
        #expect(try load("{mode: MUTUAL, credentialName: a}").revocations != nil)
        #expect(try load("{mode: SIMPLE, credentialName: a}").revocations == nil)
        let paths = "serverCertificate: \(directory)/a/tls.crt, privateKey: \(directory)/a/tls.key, caCertificates: \(directory)/a/ca.crt"
        #expect(throws: TLSError.self) { try load("{mode: MUTUAL, \(paths), caCrl: /nowhere}") }
    }

    /// A file that is being written is left alone until it stays the same.
    @Test func changesSettle() throws {
        let path = "\(directory)/one"
        var files = WatchedFiles([path, "\(directory)/never"])
        func look() -> Bool { files.haveSettledChange() }
        #expect(!look())
        write([1], path)
        #expect(!look())
        write([1, 2], path)
        #expect(!look())
        #expect(look())
        #expect(!look())
        _ = unsafe unlink(path)
        #expect(!look())
        #expect(look())
    }

    /// What nobody needs any more is not watched.
    @Test func thoseOfOtherConfigurationsAreForgotten() throws {
        try issue("a")
        let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        var watch = CredentialWatch(directory: directory)
        let wanted = try tls("{mode: SIMPLE, credentialName: a}")
        let first = try watch.credentials(for: wanted, log)
        try issue("a")
        let second = try watch.credentials(for: wanted, log)
        watch.keep([], [])
        let third = try watch.credentials(for: wanted, log)
        #expect(second.isSame(as: first) && !third.isSame(as: first))
    }
}
