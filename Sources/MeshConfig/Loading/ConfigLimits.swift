/// Every bound on configuration input. A configuration beyond one is refused with a message naming the bound.
public struct ConfigLimits: Sendable {
    /// Bytes of one file. Istio's largest real files are a few hundred KiB (etcd's own limit per resource is 1.5 MiB).
    public var fileBytes = 4 << 20
    /// Files of one load, over all directories named.
    public var files = 10_000
    /// Bytes over all files of one load.
    public var totalBytes = 64 << 20
    /// Documents of one file, list items included.
    public var documentsPerFile = 10_000
    /// Mappings and sequences inside one another, aliases expanded.
    public var nestingDepth = 64
    /// Aliases (`*name`) followed in one document.
    public var aliasesPerDocument = 1_000
    /// Nodes of one document after every alias is expanded.
    public var nodesPerDocument = 400_000
    /// Bytes of text of one document after every alias is expanded.
    public var textBytesPerDocument = 8 << 20
    /// Nodes of one file after every alias is expanded.
    public var nodesPerFile = 1_000_000
    /// Bytes of one scalar. EnvoyFilter scripts and inline JWKS are the largest that people write.
    public var scalarBytes = 1 << 20
    /// Diagnostics kept; the rest are counted as "and N more".
    public var diagnostics = 200

    public init() {}

    public static let standard = ConfigLimits()
}
