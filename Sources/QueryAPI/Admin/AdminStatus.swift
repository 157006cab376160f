/// What the admin pages tell of the process.
public struct ServerStatus: Sendable {
    /// Envoy's words.
    public enum State: String, Sendable {
        case live = "LIVE"
        case draining = "DRAINING"
        case initializing = "INITIALIZING"
    }

    public var version = ""
    public var state = State.live
    public var uptimeSeconds: UInt64 = 0
    /// `NAMESPACE/NAME`; empty for a proxy beside no workload.
    public var node = ""
    public var configuration = ConfigurationStatus()
    /// The options of the process, by name.
    public var options: [(name: String, value: String)] = []

    public init() {}
}

public struct ListenerStatus: Sendable {
    public var name: String
    /// `IP:PORT`, or the path of a Unix socket.
    public var address: String
    /// Nil for a Unix socket.
    public var host: String?
    public var port: UInt16
    /// `inbound` or `outbound`.
    public var side: String

    public init(name: String, address: String, host: String?, port: UInt16, side: String) {
        self.name = name
        self.address = address
        self.host = host
        self.port = port
        self.side = side
    }
}

public struct ClusterStatus: Sendable {
    public struct Limit: Sendable {
        /// Envoy's word: `max_connections`.
        public var name: String
        public var limit: UInt32
        public var held: UInt64
        /// How often it refused.
        public var refused: UInt64

        public init(name: String, limit: UInt32, held: UInt64, refused: UInt64) {
            self.name = name
            self.limit = limit
            self.held = held
            self.refused = refused
        }
    }

    /// A share of the requests that may be retries, instead of a fixed limit.
    public struct RetryBudget: Sendable {
        public var percent: Double
        /// Retries that are always allowed at once.
        public var minimum: UInt32
        /// The share is of the requests begun within this time; 0 = of those in flight.
        public var intervalMilliseconds: UInt64
        /// Retries that it allows at this moment.
        public var limit: UInt32

        public init(percent: Double, minimum: UInt32, intervalMilliseconds: UInt64, limit: UInt32) {
            self.percent = percent
            self.minimum = minimum
            self.intervalMilliseconds = intervalMilliseconds
            self.limit = limit
        }
    }

    public struct Endpoint: Sendable {
        public var address: String
        /// Nil for a Unix socket.
        public var host: String?
        public var port: UInt16
        public var weight: UInt32 = 1
        public var priority: UInt32 = 0
        public var requestsActive: UInt64 = 0
        public var connectFailures: UInt64 = 0
        public var otherFailures: UInt64 = 0
        public var latencyMicroseconds: UInt32 = 0
        public var isEjected = false
        /// Milliseconds until it is admitted again, at the next interval after them.
        public var ejectedMilliseconds: UInt64 = 0
        /// The collector has ejected it, whatever local detection says of it; `isEjected` is that.
        public var isMeshEjected = false
        /// Milliseconds until it is admitted again, or until the collector says so.
        public var meshEjectedMilliseconds: UInt64 = 0
        public var failsHealthChecks = false
        /// Empty = nothing has failed yet.
        public var lastError = ""
        /// Seconds since 1970; 0 = never.
        public var lastErrorUnixSeconds: UInt64 = 0

        public init(address: String, host: String?, port: UInt16) {
            self.address = address
            self.host = host
            self.port = port
        }

        /// Whether balancers use it.
        public var isHealthy: Bool { !isEjected && !isMeshEjected && !failsHealthChecks }

        /// Envoy's flags of a host.
        var healthFlags: String {
            let flags = (isEjected || isMeshEjected ? "/failed_outlier_check" : "") + (failsHealthChecks ? "/failed_active_hc" : "")
            return flags.isEmpty ? "healthy" : flags
        }
    }

    public var name: String
    public var balancer = ""
    /// False while a name of it has no address.
    public var isResolved = true
    public var connectFailures: UInt64 = 0
    public var limits: [Limit] = []
    /// Instead of `max_retries`; nil = that limit holds.
    public var retryBudget: RetryBudget?
    public var endpoints: [Endpoint] = []

    public init(name: String) { self.name = name }
}

/// One compiled rule.
public struct RouteStatus: Sendable {
    public var listener = ""
    /// Host names that lead to it, with their ports.
    public var hosts: [String] = []
    public var name = ""
    /// Each as text, any of which must hold; empty = every request.
    public var matches: [String] = []
    /// Cluster names and weights, or what is answered instead.
    public var targets: [String] = []
    /// 0 = none.
    public var timeoutMilliseconds: UInt64 = 0
    /// Tries after the first; 0 = none.
    public var retryAttempts: UInt32 = 0
    /// What is tried again, by Envoy's names.
    public var retryOn = ""
    /// 0 = as long as the route allows.
    public var perTryTimeoutMilliseconds: UInt64 = 0
    /// `VirtualService NAMESPACE/NAME`; empty where nobody wrote a rule.
    public var resource = ""
    /// `FILE:LINE:COLUMN`.
    public var position = ""

    public init() {}
}
