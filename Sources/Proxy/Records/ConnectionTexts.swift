internal import Primitives
internal import Streams
internal import TelemetryModel
internal import TLS

/// What a connection tells in the records of its requests: texts of its certificates and of TLS, made once, when the handshake ends, and
/// copied from then on. Those alone that some log or span shows.
struct ConnectionTexts: ~Copyable {
    /// As `ConnectionTextCoding` has them; empty = nothing to tell.
    private(set) var bytes = ByteBuffer()
    /// What they were chosen from.
    private var choice: ConnectionTextSet = []

    /// Whether other texts are asked for by now than these were made for.
    func isStale(_ wanted: ConnectionTextSet) -> Bool { choice != wanted }

    /// Makes them of a connection whose handshake is done. Allocates.
    mutating func describe(_ stream: borrowing ByteStream, _ wanted: ConnectionTextSet) {
        choice = wanted
        replace(ConnectionDescription.make(stream, wanted))
    }

    /// There is nothing to tell but why TLS did not come about.
    mutating func describe(failure stream: borrowing ByteStream, _ reason: String, isDownstream: Bool) {
        var made: [UInt8] = []
        let name = stream.agreement?.serverName ?? ""
        if !name.isEmpty { ConnectionTextCoding.append(.serverName, Array(name.utf8), to: &made) }
        let text = TransportFailureText.make(stream.failureCode, reason, isDownstream: isDownstream)
        ConnectionTextCoding.append(.failureReason, Array(text.utf8), to: &made)
        replace(made)
    }

    private mutating func replace(_ made: [UInt8]) {
        bytes.clear()
        unsafe made.withUnsafeBytes { unsafe bytes.append($0) }
    }
}

/// The texts of one connection, as Envoy 1.40 writes them.
enum ConnectionDescription {
    static func make(_ stream: borrowing ByteStream, _ wanted: ConnectionTextSet) -> [UInt8] {
        guard let agreement = stream.agreement else { return [] }
        let peer = stream.peerCertificate
        let local = stream.localCertificate
        var made: [UInt8] = []
        for kind in ConnectionText.allCases where wanted.contains(kind) {
            ConnectionTextCoding.append(kind, text(kind, agreement, peer, local), to: &made)
        }
        return made
    }

    private static func text(
        _ kind: ConnectionText, _ agreement: LayerAgreement, _ peer: Certificate?, _ local: Certificate?
    ) -> [UInt8] {
        switch kind {
        case .failureReason: []
        case .serverName: Array(agreement.serverName.utf8)
        case .version: Array(agreement.version.utf8)
        case .cipher: Array(agreement.cipher.utf8)
        case .sessionID: hexadecimal(agreement.sessionID)
        case .peerURIs: names(peer, .uri)
        case .peerHosts: names(peer, .dns)
        case .peerAddresses: names(peer, .address)
        case .peerEmails: names(peer, .email)
        case .localURIs: names(local, .uri)
        case .localHosts: names(local, .dns)
        case .localAddresses: names(local, .address)
        case .localEmails: names(local, .email)
        case .peerSubject: Array((peer?.escapedSubject ?? "").utf8)
        case .peerIssuer: Array((peer?.escapedIssuer ?? "").utf8)
        case .localSubject: Array((local?.escapedSubject ?? "").utf8)
        case .peerSerial: Array((peer?.serial ?? "").utf8)
        case .peerFingerprint256: hexadecimal(peer?.fingerprint ?? [])
        case .peerFingerprint1: hexadecimal(peer?.fingerprint1 ?? [])
        case .peerCertificate: peer?.escapedPEM ?? []
        case .peerNotBefore: time(peer?.notBefore)
        case .peerNotAfter: time(peer?.notAfter)
        }
    }

    /// With commas between. The names are any bytes: the log escapes them.
    private static func names(_ certificate: Certificate?, _ kind: Certificate.NameKind) -> [UInt8] {
        let names = certificate?.alternativeNames(kind) ?? []
        return Array((kind == .address ? names.map(address) : names).joined(separator: [UInt8(ascii: ",")]))
    }

    /// Four or sixteen bytes as text.
    private static func address(_ bytes: [UInt8]) -> [UInt8] {
        var text = ByteBuffer()
        let words = bytes.reduce(into: (UInt64(0), UInt64(0))) { $0 = ($0.0 << 8 | $0.1 >> 56, $0.1 << 8 | UInt64($1)) }
        switch bytes.count {
        case 4: text.append(address: SocketEndpoint(ipv4: UInt32(truncatingIfNeeded: words.1), port: 0))
        case 16: text.append(address: SocketEndpoint(ipv6High: words.0, ipv6Low: words.1, port: 0))
        default: break
        }
        return unsafe Array(text.readable)
    }

    static func hexadecimal(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    }

    /// Nanoseconds since 1970, as far as they go.
    private static func time(_ seconds: Int64?) -> [UInt8] {
        guard let seconds else { return [] }
        let nanoseconds = min(UInt64(clamping: seconds), UInt64.max / 1_000_000_000) * 1_000_000_000
        return (0..<8).map { UInt8(truncatingIfNeeded: nanoseconds >> (8 * UInt64($0))) }
    }
}

/// Why TLS did not come about, in the form that Envoy 1.40 prints (semantics 2.1): its numbers and reasons, ours behind them.
enum TransportFailureText {
    /// `reason`: for people, where the library has no code for it.
    static func make(_ failure: TLSFailure?, _ reason: String, isDownstream: Bool) -> String {
        var text = isDownstream ? "TLS_error|" : "TLS_error:|"
        if let failure {
            text += isDownstream ? "error:" + String(failure.number, radix: 16) : String(failure.number)
            text += ":SSL_routines:OPENSSL_internal:" + failure.reason
            if !failure.detail.isEmpty { text += ":" + failure.detail }
        } else {
            text += reason
        }
        return text.split(separator: " ").joined(separator: "_") + ":TLS_error_end"
    }
}
