/// A cluster's identity across reloads: whoever compiles configurations gives the same key to the same cluster (service, port, subset).
public struct ClusterKey: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt32

    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }
}

/// Row of a cluster in `UpstreamState`; `none` when the table was full, and then nothing is counted or limited for it.
public struct ClusterSlot: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt32

    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    public static let none = ClusterSlot(.max)
}

/// Row of an endpoint of one cluster in `UpstreamState`; `none` as for clusters. The same address in two clusters has two rows,
/// because each cluster judges its endpoints by itself.
public struct EndpointSlot: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt32

    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    public static let none = EndpointSlot(.max)
}
