internal import CertificateAuthority
internal import EventLoops
internal import Glibc
internal import Primitives
internal import Synchronization
internal import TLS

/// The thread that has the authority's directory open, for what waits. Between two turns others may change the directory.
final class SigningQueue: Sendable {
    /// How whoever asks has shown who it is.
    enum Proof: Sendable {
        case token(JoinToken)
        case certificate(serial: String, SPIFFEID)

        var identity: SPIFFEID {
            switch self {
            case .token(let token): token.identity
            case .certificate(_, let id): id
            }
        }
    }

    struct Job: Sendable {
        var request: CertificateRequest
        var proof: Proof
        /// How long the certificate shall be valid.
        var seconds: Int64
        /// Called on this thread, once.
        var answer: @Sendable (Result<IssuedSet, AuthorityError>) -> Void
    }

    /// Requests that wait.
    static let jobsMax = 256
    /// Between two looks at the directory when nobody asks.
    private static let tickMilliseconds: Int32 = 1000

    private struct State {
        var jobs: [Job] = []
        var isStopped = false
    }

    private let path: String
    private let served: ServedAuthority
    private let say: @Sendable (String) -> Void
    private let state = Mutex(State())
    private let wakeups: Mailbox<Bool>
    private let thread = Mutex<WorkerThread?>(nil)

    init(_ path: String, _ served: ServedAuthority, say: @escaping @Sendable (String) -> Void) throws(SystemError) {
        self.path = path
        self.served = served
        self.say = say
        wakeups = try Mailbox()
    }

    func start() throws(SystemError) {
        let started = try WorkerThread(name: "signing") { [self] in work() }
        thread.withLock { $0 = started }
    }

    /// False = too many wait, or it has stopped; the job is not kept.
    func submit(_ job: Job) -> Bool {
        let isTaken = state.withLock { state in
            guard !state.isStopped, state.jobs.count < Self.jobsMax else { return false }
            state.jobs.append(job)
            return true
        }
        if isTaken { wakeups.wake() }
        return isTaken
    }

    /// What waits is not answered. Call once.
    func stop() {
        state.withLock { state in
            state.isStopped = true
            state.jobs = []
        }
        wakeups.wake()
        thread.withLock { $0 }?.join()
    }

    private func work() {
        var said = ""
        while true {
            var waiting = pollfd(fd: wakeups.descriptor, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&waiting, 1, Self.tickMilliseconds)
            _ = wakeups.take()
            let (jobs, isStopped) = state.withLock { state in
                defer { state.jobs = [] }
                return (state.jobs, state.isStopped)
            }
            if isStopped { return }
            let now = Self.now
            guard !jobs.isEmpty || served.isDue(path, now: now) else { continue }
            do throws(AuthorityError) {
                var authority = try Authority(openIn: path)
                if served.isDue(path, now: now) { try served.renew(&authority, now: now) }
                for job in jobs { job.answer(Self.sign(job, &authority)) }
                said = ""
            } catch {
                for job in jobs { job.answer(.failure(error)) }
                if said != error.description { say("the authority cannot be used: \(error)") }
                said = error.description
            }
        }
    }

    private static func sign(_ job: Job, _ authority: inout Authority) -> Result<IssuedSet, AuthorityError> {
        do throws(AuthorityError) {
            switch job.proof {
            case .token(let token):
                return .success(try authority.sign(job.request, with: token, seconds: job.seconds, now: now))
            case .certificate(let serial, let id):
                return .success(try authority.sign(job.request, renewing: serial, of: id, seconds: job.seconds, now: now))
            }
        } catch {
            return .failure(error)
        }
    }

    static var now: Int64 { Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000) }
}
