internal import CertificateAuthority
internal import CertificateExchange
internal import EventLoops
internal import Glibc
internal import Logging
internal import TLS

/// Sees to it that there is a certificate before anything else starts: the one that the directory has, or the first one, by a token. Blocks
/// the control thread.
enum FirstCertificate {
    /// How long an authority that is away is waited for, seconds.
    static let patienceSeconds: Int64 = 60
    /// Between two tries, seconds: from, doubling to.
    private static let pauseMin: UInt32 = 1
    private static let pauseMax: UInt32 = 8

    static func ensure(_ options: RuntimeOptions, _ authority: AuthorityOptions, _ log: Logger) throws(StartError) {
        guard let path = options.identityDirectory else { throw failure("--ca needs a directory for the certificate: --identity") }
        if !options.allowsDumps { ProcessResources.forbidDumps() }
        let files = IdentityFiles(path)
        do throws(AuthorityError) { try files.prepare() } catch { throw failure("--identity: \(error)") }
        let token = try authority.token.map { (path) throws(StartError) in try read(path) } ?? nil
        let problem: String
        do {
            let found = try IdentityDirectory(path: files.path).load(now: IdentityWatch.unixSeconds).identity
            if let token, token.identity != found.id {
                throw failure(
                    "\(files.path) has the certificate of \(found.id), and the token is for \(token.identity): name another directory with "
                        + "--identity, or leave --token away")
            }
            return
        } catch {
            if let error = error as? StartError { throw error }
            problem = "\(error)"
        }
        guard let token else {
            let why = authority.token == nil ? "no --token is given" : "\(authority.token ?? "") is not there"
            throw failure("\(problem); a first certificate needs a token of skein ca token, and \(why)")
        }
        try enrol(token, files, authority, log)
    }

    /// Nil = the file is not there: it is not needed any more.
    private static func read(_ path: String) throws(StartError) -> JoinToken? {
        guard unsafe access(path, F_OK) == 0 else { return nil }
        do throws(AuthorityError) { return try TokenFile.read(path) } catch { throw failure("--token: \(error)") }
    }

    private static func enrol(
        _ token: JoinToken, _ files: IdentityFiles, _ authority: AuthorityOptions, _ log: Logger
    ) throws(StartError) {
        let client = CertificateClient(host: authority.host, port: authority.port, trustDomain: token.identity.trustDomain)
        let end = IdentityWatch.unixSeconds + patienceSeconds
        var pause = pauseMin
        var said = ""
        while true {
            do {
                let answer = try client.first(token, key: try files.pendingKey(), now: IdentityWatch.unixSeconds)
                try files.replace(answer.credentials, roots: answer.roots)
                log.notice("the first certificate of \(token.identity) is here, from \(authority.host):\(authority.port)")
                return
            } catch {
                guard let error = error as? ExchangeError, error.kind == .away else { throw failure("no first certificate: \(error)") }
                guard IdentityWatch.unixSeconds < end else {
                    throw failure("no first certificate within \(patienceSeconds) seconds: \(error)")
                }
                if said != error.description { log.warning("no first certificate yet, it is tried again: \(error)") }
                said = error.description
                sleep(pause)
                pause = min(pauseMax, pause * 2)
            }
        }
    }

    private static func failure(_ text: String) -> StartError { StartError(status: SkeinProcess.badInput, lines: [text]) }
}
