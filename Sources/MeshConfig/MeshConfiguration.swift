/// All resources of one load, typed. Immutable by convention: compile it into a snapshot, never patch it.
///
/// Lists keep the order of files (sorted by path within a directory) and documents. Kinds whose behaviour is later work
/// (`EffectTable`) are validated and counted in `resourceCounts`, not kept.
public struct MeshConfiguration: Sendable {
    public var virtualServices: [VirtualService] = []
    public var destinationRules: [DestinationRule] = []
    public var serviceEntries: [ServiceEntry] = []
    public var workloadEntries: [WorkloadEntry] = []
    public var sidecars: [Sidecar] = []
    public var gateways: [Gateway] = []
    public var telemetries: [Telemetry] = []
    public var mesh = MeshSettings()
    public var rateLimits: [RateLimit] = []
    public var upstreamPolicies: [UpstreamPolicy] = []
    public var meshOutlierDetections: [MeshOutlierDetection] = []
    public var securityPolicies: [SecurityPolicy] = []
    public var authorizationPolicies: [AuthorizationPolicy] = []
    public var requestAuthentications: [RequestAuthentication] = []
    /// Resources accepted, by kind.
    public var resourceCounts: [String: Int] = [:]
    /// Documents of each file that was read.
    public var resourcesByFile: [String: Int] = [:]

    /// Of every resource that was accepted, to compare this load with the next.
    var digests: [ResourceDigest] = []

    public init() {}

    /// Reads files and directories: in a directory `*.yaml` and `*.yml`, sorted by name. Blocks on the file system. Use the result only
    /// when the list has no error.
    public static func load(from source: ConfigurationSource, limits: ConfigLimits = .standard) -> (MeshConfiguration, DiagnosticList) {
        var loader = ConfigurationLoader(limits: limits)
        loader.add(source)
        return loader.finish()
    }

    /// The same from memory; `name` stands where a path would in messages.
    public static func load(
        texts: [(name: String, text: String)], limits: ConfigLimits = .standard
    ) -> (MeshConfiguration, DiagnosticList) {
        var loader = ConfigurationLoader(limits: limits)
        for (name, text) in texts { loader.add(name: name, bytes: Array(text.utf8)) }
        return loader.finish()
    }

    /// The same from bytes that need not be text.
    public static func load(
        bytes: [(name: String, bytes: [UInt8])], limits: ConfigLimits = .standard
    ) -> (MeshConfiguration, DiagnosticList) {
        var loader = ConfigurationLoader(limits: limits)
        for (name, bytes) in bytes { loader.add(name: name, bytes: bytes) }
        return loader.finish()
    }
}
