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
    private var madeFor: ConnectionTextSet = []

    /// Whether other texts are asked for by now than these were made for.
    func isStale(_ wanted: ConnectionTextSet) -> Bool { madeFor != wanted }

    /// Makes them of a connection whose handshake is done. Allocates.
    mutating func describe(_ stream: borrowing ByteStream, _ wanted: ConnectionTextSet) {
        guard stream.agreement != nil else { return }
        madeFor = wanted
        keepMade(ConnectionDescription.make(stream, wanted))
    }

    /// There is nothing to tell but why TLS did not come about.
    mutating func describe(_ stream: borrowing ByteStream, failedWith failure: TLSFailure?, _ reason: String, isDownstream: Bool) {
        var made: [UInt8] = []
        // What the client asked for is known before the handshake is done.
        let name = stream.requestedServerName
        if isDownstream { ConnectionTextCoding.append(.serverName, Array(name.utf8), to: &made) }
        let text = TransportFailureText.make(failure, reason, isDownstream: isDownstream)
        ConnectionTextCoding.append(.failureReason, Array(text.utf8), to: &made)
        keepMade(made)
    }

    private mutating func keepMade(_ made: [UInt8]) {
        bytes.clear()
        bytes.append(contentsOf: made)
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
            ConnectionTextCoding.append(kind, textBytes(kind, agreement, peer, local), to: &made)
        }
        return made
    }

    private static func textBytes(
        _ kind: ConnectionText, _ agreement: LayerAgreement, _ peer: Certificate?, _ local: Certificate?
    ) -> [UInt8] {
        switch kind {
        case .failureReason: []
        case .serverName: Array(agreement.serverName.utf8)
        case .version: Array(agreement.version.utf8)
        case .cipher: Array(agreement.cipher.utf8)
        case .sessionID: hexadecimal(agreement.sessionID)
        case .peerURIs: joinedNames(peer, .uri)
        case .peerHosts: joinedNames(peer, .dns)
        case .peerAddresses: joinedNames(peer, .address)
        case .peerEmails: joinedNames(peer, .email)
        case .localURIs: joinedNames(local, .uri)
        case .localHosts: joinedNames(local, .dns)
        case .localAddresses: joinedNames(local, .address)
        case .localEmails: joinedNames(local, .email)
        case .peerSubject: Array((peer?.escapedSubject ?? "").utf8)
        case .peerIssuer: Array((peer?.escapedIssuer ?? "").utf8)
        case .localSubject: Array((local?.escapedSubject ?? "").utf8)
        case .peerSerial: Array((peer?.serial ?? "").utf8)
        case .peerFingerprint256: hexadecimal(peer?.fingerprint ?? [])
        case .peerFingerprint1: hexadecimal(peer?.fingerprint1 ?? [])
        case .peerCertificate: peer?.escapedPEM ?? []
        case .peerNotBefore: timeBytes(peer?.notBefore)
        case .peerNotAfter: timeBytes(peer?.notAfter)
        }
    }

    /// With commas between. The names are any bytes: the log escapes them.
    private static func joinedNames(_ certificate: Certificate?, _ kind: Certificate.NameKind) -> [UInt8] {
        let names = certificate?.alternativeNames(kind) ?? []
        return Array((kind == .address ? names.map(addressText) : names).joined(separator: [UInt8(ascii: ",")]))
    }

    /// Four or sixteen bytes as text.
    private static func addressText(_ bytes: [UInt8]) -> [UInt8] {
        var text = ByteBuffer()
        let words = bytes.reduce(into: (UInt64(0), UInt64(0))) { $0 = ($0.0 << 8 | $0.1 >> 56, $0.1 << 8 | UInt64($1)) }
        switch bytes.count {
        case 4: text.append(address: SocketEndpoint(ipv4: UInt32(truncatingIfNeeded: words.1), port: 0))
        case 16: text.append(address: SocketEndpoint(ipv6High: words.0, ipv6Low: words.1, port: 0))
        default: break
        }
        return text.contents
    }

    static func hexadecimal(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    }

    /// Nanoseconds since 1970, as far as they go.
    private static func timeBytes(_ seconds: Int64?) -> [UInt8] {
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
