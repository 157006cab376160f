public import CertificateAuthority
internal import EventLoops
public import HTTPService
public import Primitives
internal import TLS

/// A served authority: `skein ca serve`. Its threads are its own; made and stopped on any one thread.
public final class CertificateServer: Sendable {
    /// Connections at once.
    static let connectionsMax = 4096

    private let server: ServiceServer
    private let queue: SigningQueue
    private let directoryLock: ServingLock

    /// Opens the authority in `directory`, and listens. `names`: host names and addresses that clients other than ours know it by.
    /// `seconds`: how long workloads' certificates are valid. `log` gets a line for what is issued and refused, `warn` for what an operator
    /// should mend; both on several threads.
    public init(
        directory: String, endpoints: [SocketEndpoint], names: [String], seconds: Int64, log: @escaping @Sendable (String) -> Void,
        warn: @escaping @Sendable (String) -> Void
    ) throws(AuthorityError) {
        guard (Authority.leafSecondsMin...Authority.leafSecondsMax).contains(seconds) else {
            throw AuthorityError(.input, "certificates for \(UnixTime.span(seconds)): 60s to 366d are taken")
        }
        directoryLock = try ServingLock(directory)
        let served: ServedAuthority
        do {
            // The directory's lock is given back at the end of this block.
            var authority = try Authority(openIn: directory)
            served = try ServedAuthority(&authority, names: names, now: SigningQueue.now)
        }
        do throws(SystemError) {
            queue = try SigningQueue(directory, served, say: warn)
            let handler = ExchangeHandler(served, queue, seconds: seconds, say: log)
            server = try ServiceServer(
                name: "ca", listeners: endpoints.map { ServiceListener($0, tls: served.tls) }, limits: Self.limits, handler: handler,
                say: warn)
            try queue.start()
        } catch {
            throw AuthorityError(.system, "the authority cannot be served: \(error)")
        }
    }

    /// Where it listens.
    public var endpoints: [SocketEndpoint] { server.endpoints }
    public var statistics: ServiceStatistics { server.statistics }

    /// Answers what it was asked, for some seconds at most. Call once.
    public func stop() {
        server.finish(withinNanoseconds: 5_000_000_000)
        queue.stop()
    }

    private static var limits: ServiceLimits {
        var limits = ServiceLimits()
        limits.connectionsMax = connectionsMax
        limits.bodyBytesMax = ExchangeProtocol.bodyBytesMax
        limits.connectionBodiesBytesMax = 1 << 20
        limits.bodiesBytesMax = 32 << 20
        limits.idleTimeoutNanoseconds = 60_000_000_000
        return limits
    }
}
