/// What is known about the configuration in use, for metrics, readiness and people.
public struct ConfigurationStatus: Sendable {
    public var generation: UInt64 = 0
    /// Loads that were adopted, the first one included.
    public var reloads: UInt64 = 0
    /// Loads that were refused.
    public var failures: UInt64 = 0
    /// Seconds since 1970; 0 = never.
    public var lastSuccessUnixSeconds: UInt64 = 0
    /// First lines of what was wrong with the last attempt; empty when it succeeded.
    public var lastError: [String] = []
    public var warnings = 0
    public var resources: [String: Int] = [:]
    /// Policies that are not enforced, a line each; how many, by kind.
    public var unenforced: [String] = []
    public var unenforcedByKind: [String: Int] = [:]

    public init() {}
}
