internal import COpenSSL

/// What of a session failed, for counters and advice; the words are `TLSSession.failure`.
public enum TLSFailureKind: Sendable, Hashable {
    /// The peer's certificate is not believed: who signed it, its time, its purpose.
    case peerCertificate
    /// The peer's certificate is good, and another's.
    case peerName
    /// The peer shows no certificate where one is demanded.
    case noPeerCertificate
    /// The peer demands a certificate, or refuses ours.
    case ownCertificate
    /// What comes is no TLS.
    case plaintext
    /// The peer ended the connection without TLS' own end (RFC 8446 6.1): what it sent may be cut.
    case truncated
    /// Versions, ciphers, protocols, sockets.
    case other

    /// What OpenSSL's queue of errors begins with, which is left as it is.
    static func first() -> TLSFailureKind {
        let error = ERR_peek_error()
        guard error != 0 else { return .other }
        switch skein_reason(error) {
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return .noPeerCertificate
        case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, SSL_R_TLSV1_ALERT_UNKNOWN_CA, SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
            SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,
            SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, SSL_R_TLSV1_ALERT_ACCESS_DENIED:
            return .ownCertificate
        case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_PACKET_LENGTH_TOO_LONG: return .plaintext
        case SSL_R_UNEXPECTED_EOF_WHILE_READING: return .truncated
        default: return .other
        }
    }
}
