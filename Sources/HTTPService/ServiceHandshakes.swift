internal import EventLoops
internal import HTTP
internal import Primitives
internal import Streams
internal import Synchronization
internal import TLS

/// Connections of a server before their first request: TLS of those listeners that have it, and clients that speak the other protocol.
/// Nothing of a request is read before a handshake is done, the client's certificate included. Confined to the server's thread.
struct ServiceHandshakes: ~Copyable {
    /// What is to be done with a connection.
    enum Outcome {
        /// The handshake needs more of the peer's bytes, or room for ours.
        case waiting
        /// What comes is requests.
        case open
        /// These bytes go out as they are; then the connection ends.
        case answer(String)
        case close
    }

    /// By listener; nil = plaintext.
    private let contexts: [TLSContextCache?]
    private let places: [SocketEndpoint]
    private let limits: ServiceLimits
    private let statistics: ServiceStatistics
    private var notices: ServiceNotices
    /// Handshakes under way.
    private var active = 0

    /// The first byte of a TLS handshake's record (RFC 8446 5.1), with which no HTTP begins.
    private static let handshakeByte: UInt8 = 0x16
    private static let tlsAdvice = "this port speaks TLS: use https://"

    init(
        _ listeners: [ServiceListener], _ limits: ServiceLimits, _ statistics: ServiceStatistics, say: @escaping @Sendable (String) -> Void
    ) {
        contexts = listeners.map { $0.tls.map { TLSContextCache($0) } }
        places = listeners.map(\.endpoint)
        self.limits = limits
        self.statistics = statistics
        notices = ServiceNotices(say: say)
    }

    /// Whether a client has to be done with its handshake in time.
    func isSecured(_ connection: borrowing ServiceConnection) -> Bool { contexts[connection.listener] != nil }

    /// Whether a listener asks for certificates.
    func asksClients(_ listener: Int) -> Bool { contexts[listener]?.source.asksClients ?? false }

    /// What a listener's authorities have taken back, as of now.
    private func revocations(_ listener: Int) -> RevocationLists? { contexts[listener]?.source.current.settings.revocations }

    /// Whether a client's certificate was revoked after its handshake.
    func isRevoked(_ connection: borrowing ServiceConnection) -> Bool {
        guard let client = connection.client, let lists = revocations(connection.listener) else { return false }
        return lists.revoke(client)
    }

    /// `count` connections were ended because `isRevoked` said so.
    mutating func noteRevoked(_ count: Int, now: MonotonicInstant) {
        statistics.revokedEnded.wrappingAdd(UInt64(count), ordering: .relaxed)
        notices.note("connections of clients whose certificates were revoked are ended: \(count)", now: now)
    }

    /// Looks at the first bytes of a connection, at least one.
    mutating func begin(_ connection: inout ServiceConnection, _ bytes: UnsafeRawBufferPointer, now: MonotonicInstant) -> Outcome {
        let first = unsafe bytes[0]
        guard let cache = contexts[connection.listener] else {
            guard first == Self.handshakeByte else {
                connection.opening = .done
                return .open
            }
            statistics.add(statistics.tlsToPlaintext)
            notices.note("\(Self.ends(connection, places)): TLS to a port that speaks plaintext: use http://, or serve it by TLS", now: now)
            return .close
        }
        guard first == Self.handshakeByte else {
            statistics.add(statistics.plaintextToTLS)
            notices.note("\(Self.ends(connection, places)): plaintext to a port that speaks TLS", now: now)
            connection.opening = .done
            // A method begins with a letter; whatever else comes would not read an answer of HTTP.
            return UInt8(ascii: "A")...UInt8(ascii: "Z") ~= first ? .answer(Self.refusal) : .close
        }
        guard active < limits.handshakesMax else {
            statistics.add(statistics.handshakesOverflowed)
            notices.note("\(Self.ends(connection, places)): more than \(limits.handshakesMax) TLS handshakes at once: refused", now: now)
            return .close
        }
        let seconds = Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000)
        let descriptor = connection.stream.descriptor
        guard let context = cache.context(),
            let session = unsafe TLSSession(context, descriptor: descriptor, early: Array(bytes), now: seconds)
        else {
            statistics.add(statistics.handshakesFailed)
            notices.note("\(Self.ends(connection, places)): TLS cannot begin: \(cache.problem ?? "no memory")", now: now)
            return .close
        }
        active += 1
        connection.opening = .handshake
        connection.session = session
        connection.stream.secure(by: SecureLayer(session, descriptor: descriptor))
        return proceed(&connection, now: now)
    }

    /// Goes on with a handshake.
    mutating func proceed(_ connection: inout ServiceConnection, now: MonotonicInstant) -> Outcome {
        switch connection.stream.handshake() {
        case .waiting: return .waiting
        case .done:
            // The handshake may have begun, or its session, before the list was here.
            if let peer = connection.session?.peer, let lists = revocations(connection.listener), lists.revoke(peer) {
                statistics.add(statistics.clientsRefused)
                let text = "certificate revoked: serial \(peer.certificate.serial), or an authority above it"
                notices.note("TLS of \(Self.ends(connection, places)): \(text)", now: now)
                return .close
            }
            statistics.add(statistics.handshakes)
            leave(&connection)
            connection.client = connection.session?.peer
            connection.session = nil
            return .open
        case .failed:
            fail(&connection, connection.stream.failure ?? "the connection ended", now: now)
            return .close
        }
    }

    /// The handshake took too long.
    mutating func expire(_ connection: inout ServiceConnection, now: MonotonicInstant) {
        // Who sends nothing at all wants nothing: a probe of the port.
        guard connection.opening == .handshake else { return }
        fail(&connection, "the handshake was not done in time", now: now)
    }

    /// The connection is closed, whatever it was doing.
    mutating func end(_ connection: inout ServiceConnection) {
        if connection.opening == .handshake { leave(&connection) }
    }

    private mutating func leave(_ connection: inout ServiceConnection) {
        active -= 1
        connection.opening = .done
    }

    private mutating func fail(_ connection: inout ServiceConnection, _ reason: String, now: MonotonicInstant) {
        let isRefused: Bool
        var text = reason
        switch connection.session?.failureKind {
        case .peerCertificate, .peerName: isRefused = true
        case .noPeerCertificate:
            isRefused = true
            text = "the client shows no certificate, and this port demands one"
        case .ownCertificate:
            isRefused = false
            text = "the client does not accept this server's certificate (\(reason))"
        default: isRefused = false
        }
        if isRefused { statistics.add(statistics.clientsRefused) } else { statistics.add(statistics.handshakesFailed) }
        notices.note("TLS of \(Self.ends(connection, places)): \(text)", now: now)
    }

    private static func ends(_ connection: borrowing ServiceConnection, _ places: [SocketEndpoint]) -> String {
        "\(connection.peer.addressText) with \(places[connection.listener])"
    }

    /// In plaintext, for the person who mistyped the address.
    private static let refusal =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: \(tlsAdvice.utf8.count + 1)\r\n"
        + "Connection: close\r\n\r\n\(tlsAdvice)\n"
}
