internal import TelemetryModel

/// The operators of TLS by name, as Envoy 1.40 accepts them: of an endpoint's certificate it prints fewer parts than of a client's.
enum ConnectionOperators {
    typealias Part = (text: ConnectionText, end: ConnectionEnd)

    /// They take neither an argument nor a length.
    static let texts: [String: Part] = [
        "DOWNSTREAM_TLS_VERSION": (.version, .downstream),
        "DOWNSTREAM_TLS_CIPHER": (.cipher, .downstream),
        "DOWNSTREAM_TLS_SESSION_ID": (.sessionID, .downstream),
        "DOWNSTREAM_PEER_URI_SAN": (.peerURIs, .downstream),
        "DOWNSTREAM_PEER_DNS_SAN": (.peerHosts, .downstream),
        "DOWNSTREAM_PEER_IP_SAN": (.peerAddresses, .downstream),
        "DOWNSTREAM_PEER_EMAIL_SAN": (.peerEmails, .downstream),
        "DOWNSTREAM_PEER_SUBJECT": (.peerSubject, .downstream),
        "DOWNSTREAM_PEER_ISSUER": (.peerIssuer, .downstream),
        "DOWNSTREAM_PEER_SERIAL": (.peerSerial, .downstream),
        "DOWNSTREAM_PEER_FINGERPRINT_256": (.peerFingerprint256, .downstream),
        "DOWNSTREAM_PEER_FINGERPRINT_1": (.peerFingerprint1, .downstream),
        "DOWNSTREAM_PEER_CERT": (.peerCertificate, .downstream),
        "DOWNSTREAM_LOCAL_URI_SAN": (.localURIs, .downstream),
        "DOWNSTREAM_LOCAL_DNS_SAN": (.localHosts, .downstream),
        "DOWNSTREAM_LOCAL_IP_SAN": (.localAddresses, .downstream),
        "DOWNSTREAM_LOCAL_EMAIL_SAN": (.localEmails, .downstream),
        "DOWNSTREAM_LOCAL_SUBJECT": (.localSubject, .downstream),
        "DOWNSTREAM_TRANSPORT_FAILURE_REASON": (.failureReason, .downstream),
        "UPSTREAM_TLS_VERSION": (.version, .upstream),
        "UPSTREAM_TLS_CIPHER": (.cipher, .upstream),
        "UPSTREAM_TLS_SESSION_ID": (.sessionID, .upstream),
        "UPSTREAM_PEER_URI_SAN": (.peerURIs, .upstream),
        "UPSTREAM_PEER_DNS_SAN": (.peerHosts, .upstream),
        "UPSTREAM_PEER_IP_SAN": (.peerAddresses, .upstream),
        "UPSTREAM_PEER_SUBJECT": (.peerSubject, .upstream),
        "UPSTREAM_PEER_ISSUER": (.peerIssuer, .upstream),
        "UPSTREAM_PEER_CERT": (.peerCertificate, .upstream),
        "UPSTREAM_LOCAL_URI_SAN": (.localURIs, .upstream),
        "UPSTREAM_LOCAL_DNS_SAN": (.localHosts, .upstream),
        "UPSTREAM_LOCAL_IP_SAN": (.localAddresses, .upstream),
    ]

    /// They take a format of times, as START_TIME does.
    static let times: [String: Part] = [
        "DOWNSTREAM_PEER_CERT_V_START": (.peerNotBefore, .downstream),
        "DOWNSTREAM_PEER_CERT_V_END": (.peerNotAfter, .downstream),
        "UPSTREAM_PEER_CERT_V_START": (.peerNotBefore, .upstream),
        "UPSTREAM_PEER_CERT_V_END": (.peerNotAfter, .upstream),
    ]
}
