/// Bounds on what a peer may send, and the relations between them.
public struct HTTPLimits: Sendable, Equatable {
    /// Request line and fields together, bytes (Envoy's and Istio's default: 60 KiB). More is 431.
    public var headBytesMax = 60 * 1024
    /// Field lines in a head (Envoy's default: 100). More is 431.
    public var fieldCountMax = 100
    /// Request target, bytes. More is 414.
    public var targetBytesMax = 16 * 1024
    /// One chunk-size line with its extensions, bytes. More is 400.
    public var chunkLineBytesMax = 4096
    /// Trailer section, bytes. More is 431 for a request and a protocol error for a response.
    public var trailerBytesMax = 8 * 1024
    /// Requests of one HTTP/2 connection that are open at once, in either role; a client that asks for more waits, or is refused. Each may
    /// hold `HTTP2Session.streamWindow` bytes.
    public var streamsMax: UInt32 = 100
    /// `Host` may be the name of an Envoy cluster, which is no host: for endpoints of our own, which look at nothing but paths. Over HTTP/2
    /// nghttp2 refuses such an `:authority`.
    public var takesClusterNames = false

    public init() {}

    /// Field slots of every `MessageHead`; `fieldCountMax` may not exceed it.
    public static let fieldSlots = 128

    /// What is wrong with these limits, or nil.
    public var problem: String? {
        if fieldCountMax < 1 || fieldCountMax > Self.fieldSlots { return "fieldCountMax must be 1...\(Self.fieldSlots)" }
        if targetBytesMax < 1 || targetBytesMax > headBytesMax { return "targetBytesMax must be 1...headBytesMax" }
        if streamsMax < 1 || streamsMax > 1000 { return "streamsMax must be 1...1000" }
        if headBytesMax > 1 << 20 { return "headBytesMax must be at most 1 MiB" }
        return nil
    }
}
