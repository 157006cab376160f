/// Sums that a peer's certificate must have, SHA-256 each; one that fits is enough. A value.
public struct CertificatePins: Sendable, Hashable {
    /// Of the public key in DER (SubjectPublicKeyInfo).
    public var publicKeys: [[UInt8]]
    /// Of the certificate in DER.
    public var certificates: [[UInt8]]

    public init(publicKeys: [[UInt8]] = [], certificates: [[UInt8]] = []) {
        self.publicKeys = publicKeys
        self.certificates = certificates
    }

    public func allow(_ certificate: Certificate) -> Bool {
        if publicKeys.isEmpty && certificates.isEmpty { return true }
        return !certificates.isEmpty && certificates.contains(certificate.fingerprint)
            || !publicKeys.isEmpty && publicKeys.contains(certificate.publicKeyFingerprint)
    }
}
