internal import CertificateAuthority
internal import CertificateExchange
internal import EventLoops
internal import Glibc
internal import Logging
internal import Primitives
internal import Synchronization
internal import TLS
internal import TelemetryWire

/// Renews the workload's certificate at its authority, and asks it for roots and revocations, on a thread of its own. What comes is written
/// into the identity's directory, where `IdentityWatch` finds it. While the authority is away, what there is goes on.
final class CertificateRenewal: Sendable {
    private struct Counts {
        var renewed: UInt64 = 0
        var renewalsFailed: UInt64 = 0
        var polled: UInt64 = 0
        var pollsFailed: UInt64 = 0
    }

    private let files: IdentityFiles
    private let authority: AuthorityOptions
    private let log: Logger
    private let counts = Mutex(Counts())
    private let isStopped = Atomic<Bool>(false)

    /// Nil = no authority is asked.
    static func start(_ options: RuntimeOptions, _ identity: WorkloadIdentity?, _ log: Logger) throws(SystemError) -> CertificateRenewal? {
        guard let authority = options.authority, let path = options.identityDirectory, let identity else { return nil }
        return try CertificateRenewal(IdentityFiles(path), authority, identity, log)
    }

    private init(_ files: IdentityFiles, _ authority: AuthorityOptions, _ identity: WorkloadIdentity, _ log: Logger) throws(SystemError) {
        self.files = files
        self.authority = authority
        self.log = log
        // Never joined: an authority that does not answer would hold up the process' end, and files are whole at any moment.
        _ = try WorkerThread(name: "certificates") { [self] in work(identity) }
    }

    /// No further renewal is begun.
    func stop() { isStopped.store(true, ordering: .relaxed) }

    private func work(_ first: WorkloadIdentity) {
        var state = State(first, CertificateClient(host: authority.host, port: authority.port, trustDomain: first.id.trustDomain))
        var pollAt = Self.now
        while !isStopped.load(ordering: .relaxed) {
            if Self.now >= state.schedule.dueAt { renew(&state) }
            if Self.now >= pollAt {
                poll(&state)
                pollAt = Self.now + Double(authority.pollSeconds) * Double.random(in: 0.8...1.2)
            }
            // A second at most, so that a clock that is set is noticed.
            let pause = min(1, max(0.05, min(state.schedule.dueAt, pollAt) - Self.now))
            usleep(UInt32(pause * 1_000_000))
        }
    }

    private struct State {
        var client: CertificateClient
        var id: SPIFFEID
        var credentials: TLSCredentials
        var roots: [Certificate]
        var schedule: RenewalSchedule
        /// What was said last of failures, so that an hour without authority is not a thousand lines.
        var saidOfRenewal = ""
        var saidOfPoll = ""

        init(_ identity: WorkloadIdentity, _ client: CertificateClient) {
            self.client = client
            id = identity.id
            credentials = identity.credentials
            roots = identity.bundles[identity.id.trustDomain] ?? []
            schedule = Self.schedule(identity.credentials)
        }

        static func schedule(_ credentials: TLSCredentials) -> RenewalSchedule {
            let leaf = credentials.leaf
            return RenewalSchedule(notBefore: leaf.notBefore, notAfter: leaf.notAfter, draw: .random(in: 0..<1))
        }
    }

    private func renew(_ state: inout State) {
        do {
            let key = try PrivateKey.generate(state.credentials.key.kind)
            let answer = try state.client.renew(
                state.credentials, state.id, roots: state.roots, key: key, now: IdentityWatch.unixSeconds)
            try files.replace(answer.credentials, roots: answer.roots)
            state.credentials = answer.credentials
            state.roots = answer.roots
            state.schedule = State.schedule(answer.credentials)
            counts.withLock { $0.renewed &+= 1 }
            if !state.saidOfRenewal.isEmpty { log.notice("the authority answers again: the certificate of \(state.id) is renewed") }
            state.saidOfRenewal = ""
        } catch {
            state.schedule.failed(now: Self.now, draw: .random(in: 0..<1))
            counts.withLock { $0.renewalsFailed &+= 1 }
            let end = state.credentials.leaf.notAfter
            let rest =
                end > IdentityWatch.unixSeconds
                ? "the one before goes on until \(PlainLogHandler.date(end))"
                : "the one before ended at \(PlainLogHandler.date(end)): a new token is needed (skein ca token, --token), and a restart"
            let text = "the certificate of \(state.id) is not renewed, \(rest): \(error)"
            if state.saidOfRenewal != text { log.warning("\(text)") }
            state.saidOfRenewal = text
        }
    }

    private func poll(_ state: inout State) {
        do {
            let now = IdentityWatch.unixSeconds
            let roots = try state.client.roots(.roots(state.roots), nil, now: now)
            if roots != state.roots { try adopt(roots, &state) }
            let lists = try state.client.lists(.roots(state.roots), now: now)
            if try files.lists() != lists { try files.write(lists: lists) }
            counts.withLock { $0.polled &+= 1 }
            if !state.saidOfPoll.isEmpty { log.notice("the authority answers again: roots and revocations are up to date") }
            state.saidOfPoll = ""
        } catch {
            counts.withLock { $0.pollsFailed &+= 1 }
            let text = "roots and revocations are not looked up, those before go on: \(error)"
            if state.saidOfPoll != text { log.warning("\(text)") }
            state.saidOfPoll = text
        }
    }

    /// Roots that do not have our own certificate's are written with the next one.
    private func adopt(_ roots: [Certificate], _ state: inout State) throws {
        let trust = TLSTrust.workloads([state.id.trustDomain: roots])
        let isOwnGood = TrustCheck.problem(of: state.credentials.chain, trusting: trust, now: IdentityWatch.unixSeconds) == nil
        if isOwnGood {
            try files.write(roots: roots)
            state.roots = roots
            log.notice("the authority has other roots now: \(roots.map(\.subject).joined(separator: "; "))")
        }
        // A certificate under the newest root lets the old one be forgotten soon.
        state.schedule.hasten(now: Self.now, within: isOwnGood ? Double(authority.pollSeconds) : 0, draw: .random(in: 0..<1))
    }

    private static var now: Double { Double(SystemClock.unixNanoseconds()) / 1e9 }

    var samples: [MetricSamples] {
        let counts = counts.withLock { $0 }
        return [
            MetricSamples(
                name: "skein_certificate_renewals_total",
                help: "Renewals of the workload's certificate at its authority, by outcome.", kind: .counter, label: "outcome",
                values: [("renewed", Double(counts.renewed)), ("failed", Double(counts.renewalsFailed))]),
            MetricSamples(
                name: "skein_authority_polls_total", help: "Looks at the authority's roots and revocations, by outcome.", kind: .counter,
                label: "outcome", values: [("done", Double(counts.polled)), ("failed", Double(counts.pollsFailed))]),
        ]
    }
}
