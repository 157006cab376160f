public import Primitives

/// Endpoints of a cluster among which one draw decides: all of them, or those of one priority and locality.
public struct EndpointGroup: Sendable, BitwiseCopyable {
    public var endpoints = TableRange()
    /// Sum of the endpoints' weights.
    public var totalWeight: UInt32 = 0
    /// Step through the weights, coprime to `totalWeight`, so that `totalWeight` steps visit each point once.
    public var weightStride: UInt32 = 1
    /// Whether all endpoints weigh the same.
    public var hasEqualWeights = true
    /// 0 = used first.
    public var priority: UInt8 = 0
    /// Share among the groups of the same priority.
    public var localityWeight: UInt32 = 1

    public init() {}
}

/// What part of its cluster's requests a group gets at present.
public struct GroupShare: Sendable, BitwiseCopyable, Equatable {
    /// Millionths, those of the groups before it included.
    public var upTo: UInt32 = 0
    /// Too few of its endpoints are available, so all of them are used (Envoy: panic).
    public var panics = false

    public init() {}
}
