internal import COpenSSL

/// What all connections of one kind share on one thread: an `SSL_CTX`, its roots, its certificate. Confined to one thread at a time;
/// made on any.
@safe
public final class TLSContext {
    public enum Role: Sendable { case server, client }

    let role: Role
    let context: OpaquePointer
    let trust: TrustStores
    let settings: TLSSettings
    /// ALPN as it stands in the handshake: each with its length before it.
    let protocolBytes: [UInt8]

    /// Groups for key exchange, most wanted first.
    private static let groups = "X25519:P-256"
    private static let suites13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    /// Bytes of a peer's certificates; OpenSSL's own bound is 100 KiB.
    private static let certificateBytesMax = 64 << 10

    public init(_ role: Role, _ settings: TLSSettings) throws(TLSError) {
        guard let made = unsafe SSL_CTX_new(role == .server ? TLS_server_method() : TLS_client_method()) else {
            throw .openSSL("cannot make a TLS context")
        }
        self.role = role
        self.settings = settings
        unsafe context = made
        protocolBytes = Self.encode(settings.protocols)
        do throws(TLSError) { trust = try TrustStores(settings.trust, settings.revocations, settings.revocationScope) } catch {
            unsafe SSL_CTX_free(made)
            throw error
        }
        try configure()
    }

    deinit { unsafe SSL_CTX_free(context) }

    /// As ALPN has names (RFC 7301 section 3.1). Those that it cannot have are left out.
    static func encode(_ protocols: [String]) -> [UInt8] {
        protocols.filter { (1...255).contains($0.utf8.count) }.flatMap { [UInt8($0.utf8.count)] + $0.utf8 }
    }

    private func configure() throws(TLSError) {
        unsafe SSL_CTX_set_security_level(context, 2)
        unsafe skein_ctx_set_min_version(context, settings.versions.lowerBound.rawValue)
        unsafe skein_ctx_set_max_version(context, settings.versions.upperBound.rawValue)
        // No renegotiation, no compression, the server's order; a peer that ends without close_notify is an error.
        unsafe SSL_CTX_set_options(context, SSLOption.noRenegotiation | SSLOption.noCompression | SSLOption.serverPreference)
        unsafe skein_ctx_set_mode(context, SSLMode.partialWrite | SSLMode.movingBuffer | SSLMode.releaseBuffers)
        unsafe skein_ctx_set_read_ahead(context, 1)
        guard unsafe SSL_CTX_set_cipher_list(context, settings.ciphers ?? TLSSettings.ciphersDefault) == 1,
            unsafe SSL_CTX_set_ciphersuites(context, Self.suites13) == 1, unsafe skein_ctx_set_groups(context, Self.groups) == 1
        else { throw .openSSL("no cipher suite of \(settings.ciphers ?? "") is known") }
        unsafe skein_ctx_set_max_cert_list(context, Self.certificateBytesMax)
        unsafe SSL_CTX_set_max_early_data(context, 0)
        try useCredentials()
        verifyPeers()
        chooseProtocols()
        if role == .server { resumeSessions() } else { keepSessions() }
    }

    /// Sessions live in tickets alone, which any worker can open.
    private func resumeSessions() {
        unsafe skein_ctx_set_session_cache_mode(context, Int(SSL_SESS_CACHE_OFF))
        let name = settings.resumptionContext.prefix(32)
        let named = unsafe Array(name).withUnsafeBufferPointer { bytes in
            unsafe SSL_CTX_set_session_id_context(context, bytes.baseAddress, UInt32(bytes.count))
        }
        guard named == 1, !name.isEmpty, settings.ticketKeys != nil else {
            unsafe SSL_CTX_set_options(context, SSLOption.noTicket)
            unsafe SSL_CTX_set_num_tickets(context, 0)
            return
        }
        unsafe SSL_CTX_set_num_tickets(context, 2)
        unsafe SSL_CTX_set_timeout(context, Int(TicketKeys.sealingSeconds))
        unsafe skein_ctx_set_ticket_key_callback(context) { ssl, name, vector, cipher, digest, seals in
            guard let own = unsafe TLSSession.of(ssl), let name = unsafe name, let vector = unsafe vector else { return -1 }
            return unsafe own.prepareTicket(name, vector, cipher, digest, seals: seals == 1)
        }
        unsafe SSL_CTX_set_session_ticket_cb(
            context, { ssl, _ in unsafe TLSSession.of(ssl)?.noteClient() == true ? 1 : 0 },
            { ssl, session, _, _, status, _ in
                unsafe TLSSession.of(ssl)?.decide(on: session, status: status) ?? SSL_TICKET_RETURN_IGNORE_RENEW
            }, nil)
    }

    /// Sessions go to whoever made the connection (`KeptSession`).
    private func keepSessions() {
        unsafe skein_ctx_set_session_cache_mode(context, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
        unsafe SSL_CTX_sess_set_new_cb(context) { ssl, session in unsafe TLSSession.of(ssl)?.keep(session) == true ? 1 : 0 }
    }

    private func useCredentials() throws(TLSError) {
        guard let credentials = settings.credentials else {
            if role == .server { throw TLSError("a server needs a certificate and its key") }
            return
        }
        try use(credentials)
        if role == .server, let other = settings.otherCredentials {
            // Of the same kind the second would take the first one's place.
            guard other.key.kind.isRSA != credentials.key.kind.isRSA else {
                throw TLSError("two certificates of one kind of key: \(credentials.leaf.subject) and \(other.leaf.subject)")
            }
            try use(other)
        }
    }

    private func use(_ credentials: TLSCredentials) throws(TLSError) {
        guard unsafe SSL_CTX_use_certificate(context, credentials.leaf.x509) == 1,
            unsafe SSL_CTX_use_PrivateKey(context, credentials.key.key) == 1
        else { throw .openSSL("the certificate \(credentials.leaf.subject) cannot be used") }
        for certificate in credentials.chain.dropFirst() {
            guard unsafe skein_ctx_set_chain_one(context, certificate.x509) == 1 else {
                throw .openSSL("the certificate \(certificate.subject) cannot be used")
            }
        }
    }

    private func verifyPeers() {
        var mode = SSL_VERIFY_NONE
        switch (role, settings.clientCertificate) {
        case (.client, _): if case .anybody = settings.trust { mode = SSL_VERIFY_NONE } else { mode = SSL_VERIFY_PEER }
        case (.server, .none): mode = SSL_VERIFY_NONE
        case (.server, .wanted): mode = SSL_VERIFY_PEER
        case (.server, .required): mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        }
        unsafe SSL_CTX_set_verify(context, mode, nil)
        // Clients with several certificates choose by the names of these.
        if role == .server, mode != SSL_VERIFY_NONE, case .roots(let roots) = settings.trust {
            for root in roots { unsafe SSL_CTX_add_client_CA(context, root.x509) }
        }
        unsafe SSL_CTX_set_cert_verify_callback(context, { store, _ in unsafe TLSSession.verify(store) ? 1 : 0 }, nil)
    }

    private func chooseProtocols() {
        guard !protocolBytes.isEmpty else { return }
        if role == .client {
            unsafe SSL_CTX_set_alpn_protos(context, protocolBytes, UInt32(clamping: protocolBytes.count))
        } else {
            unsafe SSL_CTX_set_alpn_select_cb(context, { session, out, outCount, offered, count, _ in
                guard let own = unsafe TLSSession.of(session) else { return SSL_TLSEXT_ERR_NOACK }
                return unsafe own.chooseProtocol(out, outCount, offered, count)
            }, nil)
        }
    }
}

/// OpenSSL's options and modes, which are macros of casts.
enum SSLOption {
    static let noRenegotiation: UInt64 = 1 << 30
    static let noCompression: UInt64 = 1 << 17
    static let serverPreference: UInt64 = 1 << 22
    static let noTicket: UInt64 = 1 << 14
}

enum SSLMode {
    static let partialWrite = 0x1
    static let movingBuffer = 0x2
    static let releaseBuffers = 0x10
}
