internal import CertificateAuthority
internal import Synchronization

/// What a server of certificates has done. Any thread.
final class ExchangeCounts: Sendable {
    enum Refusal: String, CaseIterable {
        case malformed, unauthenticated, forbidden, limited, busy, unavailable
    }

    private struct State {
        var byToken: UInt64 = 0
        var renewed: UInt64 = 0
        var refused: [Refusal: UInt64] = [:]
    }

    private let state = Mutex(State())

    func issued(renewing: Bool) {
        state.withLock { state in
            if renewing { state.renewed &+= 1 } else { state.byToken &+= 1 }
        }
    }

    func refused(_ reason: Refusal) { state.withLock { $0.refused[reason, default: 0] &+= 1 } }

    /// Prometheus' text format.
    var text: String {
        let (byToken, renewed, refused) = state.withLock { ($0.byToken, $0.renewed, $0.refused) }
        var text = """
            # HELP skein_ca_certificates_issued_total Certificates issued to workloads, by what they showed: a token or their certificate.
            # TYPE skein_ca_certificates_issued_total counter
            skein_ca_certificates_issued_total{proof="token"} \(byToken)
            skein_ca_certificates_issued_total{proof="certificate"} \(renewed)
            # HELP skein_ca_requests_refused_total Requests for certificates that were refused, by reason.
            # TYPE skein_ca_requests_refused_total counter

            """
        for reason in Refusal.allCases {
            text += "skein_ca_requests_refused_total{reason=\"\(reason.rawValue)\"} \(refused[reason] ?? 0)\n"
        }
        return text
    }
}
