internal import EventLoops
internal import Logging
internal import Proxy
internal import Routing
internal import TLS

/// What the process secures connections with, as files change: its identity, the credentials of its Gateways, and the plan made of them.
/// Confined to the control thread.
struct SecurityState {
    private var identity: IdentityWatch?
    private var credentials: CredentialWatch
    /// Of the process' own ports and clients.
    let serviceTLS: ServiceTLS
    private var planner = SecurityPlanner()
    /// Problems of the last plan, which need not be said again.
    private var said: Set<String> = []
    private let log: Logger

    /// An identity that is asked for must be there and good; credentials may come later.
    init(_ options: RuntimeOptions, _ log: Logger) throws(StartError) {
        self.log = log
        credentials = CredentialWatch(directory: options.credentialsDirectory)
        let hasKeys = options.identityDirectory != nil || options.credentialsDirectory != nil || options.serviceTLS.hasKey
        if hasKeys, !options.allowsDumps { ProcessResources.forbidDumps() }
        do throws(TLSError) {
            identity = try options.identityDirectory.map { path throws(TLSError) in try IdentityWatch(path: path, log) }
        } catch {
            throw StartError(status: SkeinProcess.badInput, lines: ["--identity: \(error)"])
        }
        serviceTLS = try ServiceTLS(options.serviceTLS, identity?.identity, credentials: options.credentialsDirectory, log)
    }

    /// The plan for a configuration. What it lacks is said, once.
    mutating func plan(_ routing: RoutingSnapshot) -> SecurityPlan {
        credentials.keep(routing.gatewaySecurities.map(\.tls), routing.upstreamSecurities)
        let plan = planner.plan(routing, identity?.identity, &credentials, log)
        for problem in planner.problems where !said.contains(problem) { log.warning("\(problem)") }
        said = Set(planner.problems)
        return plan
    }

    /// Who this process is; nil = nobody in particular.
    var workload: WorkloadIdentity? { identity?.identity }

    /// Of the certificates in use.
    var expiry: CertificateExpiry { planner.expiry }

    /// Looks at the files, now and then. True = another plan is due.
    mutating func look() -> Bool {
        expiry.warn(log)
        let isRenewed = identity?.look(log) == true
        serviceTLS.look(identity?.identity, isRenewed: isRenewed, log)
        return credentials.look(log) || isRenewed
    }
}
