public import Primitives
internal import Synchronization

/// Who still comes without TLS to ports that take both: what stands in the way of PeerAuthentication STRICT. One for each worker; a lock
/// once for each connection. Any thread reads.
public final class PlaintextClients: Sendable {
    public struct Key: Hashable, Sendable {
        /// Without its port; absent = of the connections that the table had no room for.
        public var source: SocketEndpoint
        public var destination: DestinationLabelsID
        /// The port that was dialled.
        public var port: UInt16
        public var isHTTP: Bool

        public init(source: SocketEndpoint, destination: DestinationLabelsID, port: UInt16, isHTTP: Bool) {
            self.source = source
            self.destination = destination
            self.port = port
            self.isHTTP = isHTTP
        }
    }

    public struct Count: Sendable {
        public var connections: UInt64 = 0
        /// Seconds since 1970.
        public var lastUnixSeconds: UInt64 = 0

        public init(connections: UInt64 = 0, lastUnixSeconds: UInt64 = 0) {
            self.connections = connections
            self.lastUnixSeconds = lastUnixSeconds
        }

        public mutating func add(_ other: Count) {
            connections &+= other.connections
            lastUnixSeconds = max(lastUnixSeconds, other.lastUnixSeconds)
        }
    }

    /// Rows of one worker; further sources share one row for each workload, port and protocol.
    public static let rowsMax = 512

    private let rows = Mutex<[Key: Count]>([:])

    public init() {}

    public func note(_ key: Key, unixSeconds: UInt64) {
        rows.withLock { rows in
            var key = key
            if rows[key] == nil, rows.count >= Self.rowsMax { key.source = SocketEndpoint() }
            rows[key, default: Count()].add(Count(connections: 1, lastUnixSeconds: unixSeconds))
        }
    }

    public var counts: [Key: Count] { rows.withLock { $0 } }
}
