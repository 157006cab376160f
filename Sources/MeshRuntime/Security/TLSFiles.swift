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
