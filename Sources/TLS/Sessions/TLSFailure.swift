/// Why TLS failed, in Envoy's words: people search logs for them, and its library, BoringSSL, numbers its reasons itself.
public struct TLSFailure: Sendable, Equatable {
    /// Such as `CERTIFICATE_VERIFY_FAILED`.
    public let reason: String
    /// What there is to say beyond that, for people; empty = nothing.
    public let detail: String

    /// `words`: OpenSSL's reason, such as `peer did not return a certificate`. Both libraries mostly use the same words.
    init(words: String, detail: String = "") {
        reason = words.uppercased().split(separator: " ").joined(separator: "_")
        self.detail = detail
    }

    /// `detail` says what is wrong with the certificate.
    init(refusing detail: String) {
        reason = "CERTIFICATE_VERIFY_FAILED"
        self.detail = detail
    }

    /// A client spoke HTTP, or anything else, where TLS should begin.
    public static func plaintextHTTP(_ detail: String) -> TLSFailure { TLSFailure(words: "http request", detail: detail) }
    public static func plaintext(_ detail: String) -> TLSFailure { TLSFailure(words: "wrong version number", detail: detail) }

    /// The number of BoringSSL's error: its library, 16, and the reason; 0 for a reason that is not among the frequent ones.
    public var number: UInt32 { 16 << 24 | (Self.numbers[reason] ?? 0) }

    private static let numbers: [String: UInt32] = [
        "CERTIFICATE_VERIFY_FAILED": 125, "HTTP_REQUEST": 156, "HTTPS_PROXY_REQUEST": 155, "NO_SHARED_CIPHER": 184,
        "PEER_DID_NOT_RETURN_A_CERTIFICATE": 192, "UNSUPPORTED_PROTOCOL": 240, "WRONG_VERSION_NUMBER": 247,
        "SSLV3_ALERT_HANDSHAKE_FAILURE": 1040, "SSLV3_ALERT_BAD_CERTIFICATE": 1042, "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": 1043,
        "SSLV3_ALERT_CERTIFICATE_REVOKED": 1044, "SSLV3_ALERT_CERTIFICATE_EXPIRED": 1045, "SSLV3_ALERT_CERTIFICATE_UNKNOWN": 1046,
        "TLSV1_ALERT_UNKNOWN_CA": 1048, "TLSV1_ALERT_ACCESS_DENIED": 1049, "TLSV1_ALERT_DECODE_ERROR": 1050,
        "TLSV1_ALERT_DECRYPT_ERROR": 1051, "TLSV1_ALERT_PROTOCOL_VERSION": 1070, "TLSV1_ALERT_INTERNAL_ERROR": 1080,
        "TLSV13_ALERT_CERTIFICATE_REQUIRED": 1116,
    ]
}
