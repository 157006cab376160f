internal import COpenSSL
internal import Glibc

/// One connection's TLS over a socket that does not block. The socket stays its owner's. Confined to one thread.
///
/// A session says what it waits for: readable, or writable. Whoever owns the socket comes back then. A peer that ends the connection
/// without TLS' own end (close_notify) has failed: what it sent may be cut.
@safe
public final class TLSSession {
    /// What came of an attempt.
    public enum Progress: Sendable, Equatable {
        case done
        case wantsReadable
        case wantsWritable
        /// `failure` says why.
        case failed
    }

    public enum Transfer: Sendable, Equatable {
        case bytes(Int)
        case wouldBlock
        /// The peer's close_notify.
        case end
        /// `failure` says why, `problem` is errno's if it was the socket.
        case failed
    }

    private let context: TLSContext
    private let socket: SocketBIO.State
    private let ssl: OpaquePointer
    private let expectation: TLSExpectation
    private let now: Int64
    private let kept: KeptSession?
    /// Verified by the handshake.
    public private(set) var peer: TLSPeer?
    /// Why the handshake or the connection failed, for people.
    public private(set) var failure: String?
    /// The same in Envoy's words; nil = it did not fail, or the socket did.
    public private(set) var failureCode: TLSFailure?
    /// What failed; nil = nothing did.
    public private(set) var failureKind: TLSFailureKind?
    public private(set) var isEstablished = false
    private var didEnd = false

    /// Where a session hangs on its `SSL`.
    private static let place: Int32 = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, nil, nil, nil, nil)

    /// `early`: bytes that were read already. `serverName` is what a client asks for (SNI); empty = none. `protocols`:
    /// ALPN of a client, other than its context's. `kept`: what a client has of earlier connections to this server. `now`: seconds
    /// since 1970, for
    /// certificates. Nil = no memory.
    public init?(
        _ context: TLSContext, descriptor: Int32, early: [UInt8] = [], serverName: String = "",
        expecting expectation: TLSExpectation = .anybody, protocols: [String]? = nil, resuming kept: KeptSession? = nil,
        now: Int64
    ) {
        guard let made = unsafe SSL_new(context.context) else { return nil }
        self.context = context
        self.expectation = expectation
        self.now = now
        self.kept = context.role == .client ? kept : nil
        socket = SocketBIO.State(descriptor: descriptor, early: early)
        unsafe ssl = made
        guard let bio = unsafe SocketBIO.make(socket) else { return nil }
        unsafe SSL_set_bio(ssl, bio, bio)
        unsafe SSL_set_ex_data(ssl, Self.place, Unmanaged.passUnretained(self).toOpaque())
        if context.role == .server { unsafe SSL_set_accept_state(ssl) } else { unsafe SSL_set_connect_state(ssl) }
        if !serverName.isEmpty, context.role == .client { unsafe skein_set_host_name(ssl, serverName) }
        if let protocols, context.role == .client {
            let bytes = TLSContext.encode(protocols)
            unsafe SSL_set_alpn_protos(ssl, bytes, UInt32(clamping: bytes.count))
        }
        unsafe self.kept?.offer(to: ssl, now: now)
    }

    deinit { unsafe SSL_free(ssl) }

    static func of(_ ssl: OpaquePointer?) -> TLSSession? {
        guard let data = unsafe SSL_get_ex_data(ssl, place) else { return nil }
        return unsafe Unmanaged<TLSSession>.fromOpaque(data).takeUnretainedValue()
    }

    // MARK: Handshake

    /// Goes on with the handshake as far as the socket lets it.
    public func handshake() -> Progress {
        if isEstablished { return .done }
        forgetErrors()
        let result = unsafe SSL_do_handshake(ssl)
        if result == 1 { return finishHandshake() }
        return progress(result)
    }

    private func finishHandshake() -> Progress {
        if peer == nil, isResumed {
            peer = resumedPeer()
        } else if peer == nil, let x509 = unsafe SSL_get1_peer_certificate(ssl) {
            guard case .success(let found) = unsafe judge(Certificate(taking: x509), SSL_get_peer_cert_chain(ssl)) else { return .failed }
            peer = found
        }
        if peer == nil, context.role == .server, context.settings.clientCertificate == .required {
            failure = "the client has shown no certificate"
            return .failed
        }
        isEstablished = true
        return .done
    }

    // MARK: Resuming

    /// Whose session goes on: it was verified when the session began, by the same rules.
    private func resumedPeer() -> TLSPeer? {
        if context.role == .client { return kept?.peer }
        guard let x509 = unsafe SSL_get1_peer_certificate(ssl) else { return nil }
        let facts = unsafe TicketFacts(of: SSL_get_session(ssl)) ?? TicketFacts(notAfter: 0)
        return unsafe context.trust.recognise(Certificate(taking: x509), as: .client, facts)
    }

    func prepareTicket(
        _ name: UnsafeMutablePointer<UInt8>, _ vector: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer?, _ digest: OpaquePointer?,
        seals: Bool
    ) -> Int32 {
        unsafe context.settings.ticketKeys?.prepare(name, vector, cipher, digest, seals: seals, now: now) ?? 0
    }

    /// Writes into the ticket that is about to be sealed until when its client may be believed, and under whom.
    func noteClient() -> Bool {
        let own = peer.map { TicketFacts(notAfter: $0.notAfter, authorities: $0.authorities) }
        let bytes = unsafe (own ?? TicketFacts(of: SSL_get_session(ssl)) ?? TicketFacts(notAfter: .max)).bytes
        return unsafe SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), bytes, bytes.count) == 1
    }

    /// What becomes of a session that a ticket names. Whose certificate is over is asked for it again; a client of TLS 1.3, which uses a
    /// ticket once, gets another.
    func decide(on session: OpaquePointer?, status: Int32) -> Int32 {
        guard status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW,
            unsafe TicketFacts(of: session).map({ now < $0.notAfter }) ?? false
        else { return SSL_TICKET_RETURN_IGNORE_RENEW }
        let isOnce = unsafe SSL_version(ssl) >= TLSSettings.Version.tls13.rawValue
        return isOnce || status == SSL_TICKET_SUCCESS_RENEW ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE
    }

    /// A client has got a ticket. True = its reference is kept.
    func keep(_ session: OpaquePointer?) -> Bool {
        guard let kept, failure == nil, let session = unsafe session else { return false }
        unsafe kept.keep(session, of: peer)
        return true
    }

    /// OpenSSL asks whether a chain is believed.
    static func verify(_ store: OpaquePointer?) -> Bool {
        let index = SSL_get_ex_data_X509_STORE_CTX_idx()
        guard let ssl = unsafe X509_STORE_CTX_get_ex_data(store, index), let session = unsafe of(OpaquePointer(ssl)),
            let shown = unsafe X509_STORE_CTX_get0_cert(store), unsafe X509_up_ref(shown) == 1
        else { return false }
        let leaf = unsafe Certificate(taking: shown)
        let chain = unsafe X509_STORE_CTX_get0_untrusted(store)
        guard case .success(let peer) = unsafe session.judge(leaf, chain) else {
            // What the alert tells the peer: bad certificate.
            unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED)
            return false
        }
        session.peer = peer
        return true
    }

    private func judge(_ leaf: Certificate, _ chain: OpaquePointer?) -> Result<TLSPeer, TLSError> {
        let count = unsafe chain.map { unsafe skein_chain_count($0) } ?? 0
        var verdict: Result<TLSPeer, TLSError>
        if count > TrustStores.chainMax {
            verdict = .failure(TLSError("a chain of \(count) certificates: at most \(TrustStores.chainMax) are looked at"))
        } else {
            verdict = unsafe context.trust.verify(leaf, chain, as: context.role == .server ? .client : .server, now: now)
        }
        var kind = TLSFailureKind.peerCertificate
        if case .success = verdict, !context.settings.pins.allow(leaf) {
            verdict = .failure(TLSError("neither its public key nor itself has a SHA-256 that is wanted"))
        }
        if case .success = verdict, let problem = unexpected(leaf) {
            verdict = .failure(TLSError(problem))
            kind = .peerName
        }
        if case .failure(let refusal) = verdict {
            failureKind = kind
            failure = "the peer's certificate is refused: \(refusal)"
            failureCode = TLSFailure(refusing: refusal.description)
        }
        return verdict
    }

    /// Why the certificate is not the expected one's.
    private func unexpected(_ leaf: Certificate) -> String? {
        switch expectation {
        case .anybody: return nil
        case .host(let name):
            // The subject's CN counts for nothing (RFC 9525 2).
            let flags = UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)
            let fits = unsafe X509_check_host(leaf.x509, name, name.utf8.count, flags, nil) == 1
                || X509_check_ip_asc(leaf.x509, name, 0) == 1
            ERR_clear_error()
            return fits ? nil : "it is not for \(name)\(Self.names(of: leaf))"
        case .names(let names):
            let shown = (leaf.alternativeNames(.uri) + leaf.alternativeNames(.dns)).map { $0[...] }
            if names.contains(where: { name in shown.contains { $0.elementsEqual(name.utf8) } }) { return nil }
            let text = shown.prefix(4).map { String(decoding: $0.prefix(256), as: UTF8.self) }.joined(separator: ", ")
            return "it names \(text.isEmpty ? "nobody" : text), and \(names.prefix(4).joined(separator: " or ")) is wanted"
        }
    }

    /// Whom a certificate is for, as the end of a sentence.
    private static func names(of leaf: Certificate) -> String {
        var names = leaf.alternativeNames(.dns) + leaf.alternativeNames(.uri)
        let count = names.count
        names = Array(names.prefix(4))
        guard count > 0 else { return "" }
        return ", but for " + names.map { String(decoding: $0.prefix(256), as: UTF8.self) }.joined(separator: ", ")
            + (count > names.count ? " and \(count - names.count) more" : "")
    }

    func chooseProtocol(
        _ out: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ outCount: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?,
        _ count: UInt32
    ) -> Int32 {
        let own = context.protocolBytes
        var chosen: UnsafeMutablePointer<UInt8>?
        let result = unsafe SSL_select_next_proto(&chosen, outCount, own, UInt32(clamping: own.count), offered, count)
        guard result == OPENSSL_NPN_NEGOTIATED else {
            return context.settings.ignoresForeignProtocols ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_ALERT_FATAL
        }
        // The name lies in the client's list, which stays for the handshake.
        var place = 0
        while place < Int(count), let offered = unsafe offered {
            let length = unsafe Int(offered[place])
            if let chosen = unsafe chosen, let outCount = unsafe outCount, unsafe length == Int(outCount.pointee),
                place + 1 + length <= Int(count), unsafe memcmp(offered + place + 1, chosen, length) == 0
            {
                unsafe out?.pointee = offered + place + 1
                return SSL_TLSEXT_ERR_OK
            }
            place += 1 + length
        }
        return SSL_TLSEXT_ERR_NOACK
    }

    // MARK: What was agreed

    /// The protocol chosen by ALPN; empty = none.
    public var applicationProtocol: String {
        var bytes: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        unsafe SSL_get0_alpn_selected(ssl, &bytes, &count)
        guard let bytes = unsafe bytes, count > 0 else { return "" }
        return unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
    }

    /// The host name that the client asked for; empty = none.
    public var serverName: String {
        guard let name = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else { return "" }
        return unsafe String(cString: name)
    }

    /// As access logs have it: `TLSv1.3`.
    public var version: String { unsafe SSL_get_version(ssl).map { unsafe String(cString: $0) } ?? "" }

    public var cipher: String {
        guard let cipher = unsafe SSL_get_current_cipher(ssl), let name = unsafe SSL_CIPHER_get_name(cipher) else { return "" }
        return unsafe String(cString: name)
    }

    /// Of TLS 1.2; empty = the session has none, as in TLS 1.3.
    public var sessionID: [UInt8] {
        guard version == "TLSv1.2", let session = unsafe SSL_get_session(ssl) else { return [] }
        var count: UInt32 = 0
        guard let bytes = unsafe SSL_SESSION_get_id(session, &count) else { return [] }
        return unsafe Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
    }

    /// What this end shows; nil = nothing.
    public var localCertificate: Certificate? { context.settings.credentials?.leaf }

    public var isResumed: Bool { unsafe SSL_session_reused(ssl) == 1 }

    /// errno of a socket that failed; 0 = it did not.
    public var problem: Int32 { socket.problem }

    // MARK: Bytes

    @unsafe
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        var count = 0
        forgetErrors()
        let result = unsafe SSL_read_ex(ssl, buffer.baseAddress, buffer.count, &count)
        if result == 1 { return .bytes(count) }
        switch unsafe SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .wouldBlock
        case SSL_ERROR_ZERO_RETURN: return .end
        default:
            fail(result)
            return .failed
        }
    }

    /// Takes as many bytes as the socket does. What it could not take is to be given again, from the same byte on.
    @unsafe
    public func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        var taken = 0
        while taken < bytes.count {
            var count = 0
            forgetErrors()
            let result = unsafe SSL_write_ex(ssl, bytes.baseAddress.map { unsafe $0 + taken }, bytes.count - taken, &count)
            if result == 1 {
                taken += count
                continue
            }
            switch unsafe SSL_get_error(ssl, result) {
            case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return taken > 0 ? .bytes(taken) : .wouldBlock
            default:
                if socket.problem != 0 { lookForAlert() }
                fail(result)
                return .failed
            }
        }
        return .bytes(taken)
    }

    /// Nothing can be written any more: the peer may have said why before it went (RFC 8446 4.4.2.4: a client learns that its certificate
    /// is refused by an alert behind its first bytes).
    private func lookForAlert() {
        let problem = socket.problem
        socket.problem = 0
        var byte: UInt8 = 0
        var count = 0
        forgetErrors()
        let result = unsafe SSL_read_ex(ssl, &byte, 1, &count)
        if unsafe result != 1 && SSL_get_error(ssl, result) == SSL_ERROR_SSL { fail(result) }
        socket.problem = problem
    }

    /// Whether another read may give bytes without the socket becoming readable again: some wait here, or the socket was not read to its
    /// end.
    public var hasPending: Bool { unsafe !socket.isDrained || SSL_has_pending(ssl) == 1 }

    /// The socket has something again. A read that OpenSSL serves from its own buffer does not look there, and nobody would be told again.
    public func noteReadable() { socket.isDrained = false }

    /// Says close_notify, once, as far as the socket takes it.
    public func end() {
        guard isEstablished, !didEnd, failure == nil else { return }
        didEnd = true
        _ = unsafe SSL_shutdown(ssl)
        ERR_clear_error()
    }

    /// The queue of errors is the thread's: what another session left there would count as this one's (SSL_get_error(3)).
    private func forgetErrors() { ERR_clear_error() }

    private func progress(_ result: Int32) -> Progress {
        switch unsafe SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsReadable
        case SSL_ERROR_WANT_WRITE: return .wantsWritable
        default:
            fail(result)
            return .failed
        }
    }

    private func fail(_ result: Int32) {
        defer { ERR_clear_error() }
        guard failure == nil else { return }
        if socket.problem != 0 {
            unsafe failure = String(cString: strerror(socket.problem))
            failureKind = .other
        } else {
            failureKind = .first()
            let reason = TLSError.takeReason()
            failure = (isEstablished ? "TLS ended" : "TLS handshake failed") + (reason.map { ": \($0)" } ?? "")
            failureCode = reason.map { TLSFailure(words: $0) }
        }
    }
}
