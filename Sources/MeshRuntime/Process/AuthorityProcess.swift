public import CertificateAuthority
internal import CertificateExchange
internal import EventLoops
internal import Logging
public import Primitives

/// `skein ca serve`: serves until a signal ends it.
public enum AuthorityProcess {
    /// Returns when SIGTERM or SIGINT has come and what was asked is answered. `names`, `seconds`: as `CertificateServer` takes them.
    public static func run(directory: String, endpoints: [SocketEndpoint], names: [String], seconds: Int64) throws(AuthorityError) {
        let level = LogLevelSwitch()
        let log = Logger(label: "skein") { _ in PlainLogHandler(level) }
        // Before there are threads, so that all of them leave signals to this one.
        guard let signals = try? SignalInbox() else { throw AuthorityError(.system, "signals cannot be received") }
        ProcessResources.raiseDescriptorLimit()
        let server = try CertificateServer(
            directory: directory, endpoints: endpoints, names: names, seconds: seconds, log: { log.notice("\($0)") },
            warn: { log.warning("\($0)") })
        log.notice("ready: the authority in \(directory) is served at \(server.endpoints.map(\.description).joined(separator: ", "))")
        while signals.wait(milliseconds: -1) != .terminate {}
        server.stop()
        log.info("stopped")
    }
}
