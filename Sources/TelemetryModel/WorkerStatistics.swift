public import Synchronization

/// Self-metrics of one worker of the proxy: written by it, read by anybody.
public final class WorkerStatistics: Sendable {
    public let downstreamActive = Atomic<Int>(0)
    public let downstreamTotal = Atomic<UInt64>(0)
    public let upstreamActive = Atomic<Int>(0)
    public let upstreamTotal = Atomic<UInt64>(0)
    public let upstreamConnectFailures = Atomic<UInt64>(0)
    public let requestsActive = Atomic<Int>(0)
    public let requestsTotal = Atomic<UInt64>(0)
    /// Connections refused because a table was full or no descriptor was left.
    public let acceptFailures = Atomic<UInt64>(0)
    /// Requests refused for their form; index = `HeadError.rawValue`, the last for a bad body or target.
    public let protocolErrors = Atomic<UInt64>(0)
    /// Requests sent again because a kept-alive connection turned out to be gone.
    public let staleRetries = Atomic<UInt64>(0)
    public let retries = Atomic<UInt64>(0)
    public let faultDelays = Atomic<UInt64>(0)
    public let faultAborts = Atomic<UInt64>(0)
    public let mirrors = Atomic<UInt64>(0)
    /// Copies given up because their upstream was slower than the original's client.
    public let mirrorsDropped = Atomic<UInt64>(0)
    public let http2Connections = Atomic<UInt64>(0)
    /// HTTP/2 connections ended because of a flood (RFC 9113 10.5).
    public let http2Floods = Atomic<UInt64>(0)
    /// Requests taken back by their client before they were looked at.
    public let http2EarlyResets = Atomic<UInt64>(0)
    /// Fields left out of trailer sections, or for underscores that would make them another's.
    public let fieldsDropped = Atomic<UInt64>(0)
    public let upstreamProtocolErrors = Atomic<UInt64>(0)
    /// TLS with clients: handshakes that came to their end, and those that did not.
    public let tlsHandshakes = Atomic<UInt64>(0)
    public let tlsHandshakeFailures = Atomic<UInt64>(0)
    /// Connections without TLS to ports that take nothing else.
    public let plaintextRefused = Atomic<UInt64>(0)
    /// TLS connections to ports of Gateways where no server has the name that was asked for.
    public let serverNamesUnknown = Atomic<UInt64>(0)
    /// Of both, those that had no line in the access log because there were too many in a second.
    public let refusalsUnlogged = Atomic<UInt64>(0)
    /// TLS with endpoints.
    public let upstreamTLSHandshakes = Atomic<UInt64>(0)
    /// Of the handshakes, those that went on with an earlier session.
    public let tlsResumptions = Atomic<UInt64>(0)
    /// Connections ended because the peer's certificate was revoked.
    public let revokedEnded = Atomic<UInt64>(0)
    public let upstreamTLSResumptions = Atomic<UInt64>(0)
    public let upstreamTLSFailures = Atomic<UInt64>(0)
    /// Requests whose token was good, and those that were refused for theirs.
    public let tokensAccepted = Atomic<UInt64>(0)
    public let tokensRefused = Atomic<UInt64>(0)
    /// Tokens that were remembered as good, and those that were read and verified.
    public let tokensRemembered = Atomic<UInt64>(0)
    public let tokensRead = Atomic<UInt64>(0)
    /// Waits of requests for the keys of their issuers.
    public let keyWaits = Atomic<UInt64>(0)
    /// Bytes of tunnels that moved inside the kernel.
    public let splicedBytes = Atomic<UInt64>(0)
    /// The longest time between two turns of the loop since somebody last took it, nanoseconds.
    public let turnNanosecondsMax = Atomic<UInt64>(0)
    /// Generation of the configuration in use.
    public let configurationGeneration = Atomic<UInt64>(0)

    public init() {}

    /// For the worker, which alone writes.
    @inlinable @inline(__always)
    public func add(_ counter: borrowing Atomic<UInt64>, _ amount: UInt64 = 1) {
        counter.store(counter.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}
