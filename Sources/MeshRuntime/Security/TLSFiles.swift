public import TLS

/// Paths of a certificate with its chain, its key and the authorities of the other end, in PEM; nil = not given. A value; reading blocks.
public struct TLSFiles: Sendable, Hashable {
    public var certificate: String?
    public var key: String?
    public var authorities: String?

    public init(certificate: String? = nil, key: String? = nil, authorities: String? = nil) {
        self.certificate = certificate
        self.key = key
        self.authorities = authorities
    }

    var paths: [String] { [certificate, key, authorities].compactMap(\.self) }

    /// The certificate and its key; nil = none are named. Reads both.
    public func credentials() throws(TLSError) -> TLSCredentials? {
        guard let certificate, let key else { return nil }
        _ = try SecretFile.checkMode(key)
        var keyBytes = try SecretFile.read(key, bytesMax: PrivateKey.pemBytesMax)
        defer { Wiping.wipe(&keyBytes) }
        let bytes = try SecretFile.read(certificate, bytesMax: Certificate.pemBytesMax)
        do throws(TLSError) {
            return try TLSCredentials(certificatePEM: bytes, keyPEM: keyBytes)
        } catch {
            throw TLSError("\(certificate), \(key): \(error)")
        }
    }

    /// The file of revocation lists that stands beside the authorities, if it is there; nil = no authorities are named.
    var listsPath: String? {
        authorities.map { path in path.lastIndex(of: "/").map { String(path[...$0]) + Self.listsName } ?? Self.listsName }
    }

    private static let listsName = "ca.crl"

    /// What the authorities have taken back; nil = there is no such file. Reads it.
    func lists() throws(TLSError) -> RevocationLists? {
        guard let listsPath, CredentialFiles.isThere(listsPath) else { return nil }
        let bytes = try SecretFile.read(listsPath, bytesMax: RevocationLists.pemBytesMax)
        do throws(TLSError) { return try RevocationLists(pem: bytes) } catch { throw TLSError("\(listsPath): \(error)") }
    }

    /// The authorities; nil = none are named. Reads them.
    public func roots() throws(TLSError) -> [Certificate]? {
        guard let authorities else { return nil }
        let bytes = try SecretFile.read(authorities, bytesMax: Certificate.pemBytesMax)
        do throws(TLSError) {
            return try Certificate.chain(pem: bytes)
        } catch {
            throw TLSError("\(authorities): \(error)")
        }
    }
}
