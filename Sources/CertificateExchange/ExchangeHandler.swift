internal import CertificateAuthority
internal import HTTP
internal import HTTPService
internal import Primitives
internal import Synchronization
internal import TLS

/// Answers hosts that want a certificate, roots or lists (docs/formats/ca-protocol.md). On the server's thread; what it issues comes from
/// the signing thread.
final class ExchangeHandler: ServiceHandler {
    /// By identity, for renewals: a hundred hosts of one workload may start together.
    private static let renewals = IssueRates.Limit(burst: 200, perSecond: 2)
    /// By address, for tokens: whoever asks has shown nothing yet.
    private static let attempts = IssueRates.Limit(burst: 200, perSecond: 2)
    private static let retryAfterSeconds = "5"

    private struct Rates {
        var renewals = IssueRates(ExchangeHandler.renewals)
        var attempts = IssueRates(ExchangeHandler.attempts)
    }

    private let served: ServedAuthority
    private let queue: SigningQueue
    /// Of a certificate: how long it is valid unless less is asked for.
    private let seconds: Int64
    private let say: @Sendable (String) -> Void
    private let rates = Mutex(Rates())
    private let counts = ExchangeCounts()

    init(_ served: ServedAuthority, _ queue: SigningQueue, seconds: Int64, say: @escaping @Sendable (String) -> Void) {
        self.served = served
        self.queue = queue
        self.seconds = seconds
        self.say = say
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        switch (request.method, request.path) {
        case ("GET", ExchangeProtocol.bundlePath): return .respond(Self.pem(served.trust.roots))
        case ("GET", ExchangeProtocol.listsPath): return .respond(Self.pem(served.trust.lists))
        case ("GET", ExchangeProtocol.metricsPath):
            return .respond(
                ServiceResponse(status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: Array(counts.text.utf8)))
        case ("POST", ExchangeProtocol.certificatesPath):
            let wished = request.parameter(ExchangeProtocol.secondsParameter).map { Int64($0) ?? -1 }
            let body = unsafe Array(request.body)
            return take(request, responder, .plain, wished: wished) { body }
        case ("POST", ExchangeProtocol.istioPath): return takeIstio(request, responder)
        default:
            let gets = [ExchangeProtocol.bundlePath, ExchangeProtocol.listsPath].joined(separator: " and ")
            return .respond(.text(404, "POST \(ExchangeProtocol.certificatesPath), GET \(gets) are here"))
        }
    }

    private static func pem(_ bytes: [UInt8]) -> ServiceResponse {
        let time = [(name: ExchangeProtocol.timeField, value: "\(SigningQueue.now)")]
        return ServiceResponse(status: 200, contentType: ExchangeProtocol.chainType, headers: time, body: bytes)
    }

    private func takeIstio(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        var framing = GRPCFraming(bytesMax: ExchangeProtocol.bodyBytesMax)
        let body = unsafe Array(request.body)
        let (consumed, event) = unsafe body.withUnsafeBytes { unsafe framing.next($0) }
        guard case .message(let count) = event, framing.isComplete, !framing.isCompressed, consumed + count == body.count,
            let message = IstioCertificateMessages.request(Array(body[consumed...]))
        else { return .respond(refusal(.malformed, "one IstioCertificateRequest is expected, not compressed", .istio)) }
        return take(request, responder, .istio, wished: message.seconds == 0 ? nil : message.seconds) { message.csr }
    }

    // MARK: Issuing

    private enum Form: Sendable { case plain, istio }

    /// `wished`: seconds; nil = as long as certificates here are valid.
    private func take(
        _ request: borrowing ServiceRequest, _ responder: Responder, _ form: Form, wished: Int64?, _ pem: () -> [UInt8]
    ) -> ServiceOutcome {
        let now = SigningQueue.now
        let address = request.peer.addressText
        let proof: SigningQueue.Proof
        let other: SigningQueue.Proof?
        switch Self.proofs(request.header("authorization"), request.client, now: now) {
        case .success(let shown): (proof, other) = shown
        case .failure(let lack): return .respond(refusal(.unauthenticated, lack.text, form))
        }
        let mayAsk = rates.withLock { rates in
            if case .certificate(_, let id) = proof { return rates.renewals.take("\(id)", now: Double(now)) }
            return rates.attempts.take(address, now: Double(now))
        }
        guard mayAsk else { return .respond(refusal(.limited, "too many requests of \(address) or \(proof.identity): ask later", form)) }
        if let wished, wished < Authority.leafSecondsMin {
            return .respond(refusal(.malformed, "a certificate is valid for \(Authority.leafSecondsMin) seconds at least", form))
        }
        let made: CertificateRequest
        do throws(TLSError) { made = try CertificateRequest(pem: pem()) } catch {
            return .respond(refusal(.malformed, "\(error)", form))
        }
        let isTaken = submit(made, proof, else: other, seconds: min(wished ?? seconds, seconds)) { [self] result, proof in
            responder.respond(answer(result, proof, address, form))
        }
        guard isTaken else { return .respond(refusal(.busy, "too many requests wait: ask later", form)) }
        return .later
    }

    private struct Lack: Error {
        var text: String
    }

    /// Who asks. Istio's agent sends its token file with every request, beside the certificate once it has one: so a certificate counts
    /// where the token is none of ours, and where a token of the same workload turns out to be spent (`other`).
    private static func proofs(
        _ authorization: String?, _ client: TLSPeer?, now: Int64
    ) -> Result<(first: SigningQueue.Proof, other: SigningQueue.Proof?), Lack> {
        var renewed: (proof: SigningQueue.Proof, id: SPIFFEID)?
        if let client, let id = client.identity {
            if authorization == nil, client.notAfter < now { return .failure(Lack(text: "the certificate of \(id) has expired")) }
            if client.notAfter >= now { renewed = (.certificate(serial: client.certificate.serial, id), id) }
        }
        guard let authorization else {
            return renewed.map { .success(($0.proof, nil)) }
                ?? .failure(Lack(text: "show a token, or the certificate that is to be renewed"))
        }
        let isBearer = authorization.lowercased().hasPrefix("bearer ")
        if let token = isBearer ? JoinToken(Array(authorization.utf8.dropFirst(7))) : nil {
            return .success((.token(token), renewed?.id == token.identity ? renewed?.proof : nil))
        }
        return renewed.map { .success(($0.proof, nil)) }
            ?? .failure(Lack(text: "Authorization: Bearer with a token of skein ca token is expected"))
    }

    /// False = too much waits.
    private func submit(
        _ made: CertificateRequest, _ proof: SigningQueue.Proof, else other: SigningQueue.Proof?, seconds: Int64,
        _ finish: @escaping @Sendable (Result<IssuedSet, AuthorityError>, SigningQueue.Proof) -> Void
    ) -> Bool {
        queue.submit(
            SigningQueue.Job(request: made, proof: proof, seconds: seconds) { [self] result in
                if case .failure(let error) = result, error.kind == .unauthenticated, let other,
                    submit(made, other, else: nil, seconds: seconds, finish)
                { return }
                finish(result, proof)
            })
    }

    /// On the signing thread.
    private func answer(
        _ result: Result<IssuedSet, AuthorityError>, _ proof: SigningQueue.Proof, _ address: String, _ form: Form
    ) -> ServiceResponse {
        switch result {
        case .success(let issued):
            let how: String
            switch proof {
            case .token(let token):
                how = "token \(token.id)"
                counts.issued(renewing: false)
            case .certificate(let serial, _):
                how = "its certificate \(serial)"
                counts.issued(renewing: true)
            }
            let end = UnixTime.text(issued.record.notAfter)
            say("issued \(issued.record.serial) to \(proof.identity) at \(address), by \(how), until \(end)")
            switch form {
            case .plain: return Self.pem(issued.certificatePEM())
            case .istio:
                // The leaf first, the root last.
                let chain = (issued.chain + issued.roots.prefix(1)).map { $0.pem() }
                return .grpc(message: IstioCertificateMessages.response(chain))
            }
        case .failure(let error):
            let reason: ExchangeCounts.Refusal =
                switch error.kind {
                case .input: .malformed
                case .unauthenticated: .unauthenticated
                case .forbidden: .forbidden
                case .directory, .system: .unavailable
                }
            say("refused a certificate of \(proof.identity) to \(address): \(error)")
            let isOurs = reason == .unavailable
            return refusal(reason, isOurs ? "no certificate can be issued at present: see this server's log" : "\(error)", form)
        }
    }

    private func refusal(_ reason: ExchangeCounts.Refusal, _ text: String, _ form: Form) -> ServiceResponse {
        counts.refused(reason)
        let (status, code): (UInt16, GRPCCode) =
            switch reason {
            case .malformed: (400, .invalidArgument)
            case .unauthenticated: (401, .unauthenticated)
            case .forbidden: (403, .permissionDenied)
            case .limited: (429, .resourceExhausted)
            case .busy, .unavailable: (503, .unavailable)
            }
        if form == .istio { return .grpc(code, text) }
        var fields = [(name: ExchangeProtocol.timeField, value: "\(SigningQueue.now)")]
        if status == 429 || status == 503 { fields.append(("Retry-After", Self.retryAfterSeconds)) }
        if status == 401 { fields.append(("WWW-Authenticate", "Bearer")) }
        return .text(status, text, headers: fields)
    }
}
