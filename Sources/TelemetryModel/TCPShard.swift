internal import Synchronization

/// What one kind of TCP connection has moved: the source of Istio's TCP families (semantics 2.2).
public struct TCPSeries: Sendable {
    public var labels: LabelPair
    public var side: ProxySide
    public var flags: ResponseFlags
    /// Sent by the server of the connection, and received from its client.
    public var sentBytes: UInt64 = 0
    public var receivedBytes: UInt64 = 0
    public var connectionsOpened: UInt64 = 0
    public var connectionsClosed: UInt64 = 0

    public init(labels: LabelPair, side: ProxySide, flags: ResponseFlags = []) {
        self.labels = labels
        self.side = side
        self.flags = flags
    }
}

/// TCP counters of one worker. Connections report when they open, every few seconds, and when they close, so a lock is cheap enough here;
/// nobody but a scrape contends for it.
public final class TCPShard: Sendable {
    private struct Key: Hashable {
        var labels: LabelPair
        var side: ProxySide
        var flags: ResponseFlags
    }

    /// Series of one worker; what is beyond them is counted in an overflow series.
    public static let seriesMax = 4000

    private let table = Mutex<[Key: TCPSeries]>([:])

    public init() {}

    /// Adds what a connection has moved since its last report. Any thread.
    public func add(_ amounts: TCPSeries) {
        table.withLock { table in
            var key = Key(labels: amounts.labels, side: amounts.side, flags: amounts.flags)
            if table[key] == nil, table.count >= Self.seriesMax { key = Key(labels: .overflow, side: amounts.side, flags: []) }
            var series = table[key] ?? TCPSeries(labels: key.labels, side: key.side, flags: key.flags)
            series.sentBytes &+= amounts.sentBytes
            series.receivedBytes &+= amounts.receivedBytes
            series.connectionsOpened &+= amounts.connectionsOpened
            series.connectionsClosed &+= amounts.connectionsClosed
            table[key] = series
        }
    }

    public func snapshot() -> [TCPSeries] { table.withLock { Array($0.values) } }
}
