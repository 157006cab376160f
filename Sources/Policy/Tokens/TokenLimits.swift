/// Bounds of what tokens cost, per worker unless said otherwise.
public enum TokenLimits {
    /// Tokens at the places of one kind of rule that are looked at; a request with more is refused.
    public static let tokensOfRequestMax = 8
    /// Verified tokens that are remembered.
    public static let cachedMax = 1024
    /// Bytes of memory that remembered tokens and their claims may take.
    public static let cachedBytesMax = 16 << 20
    /// Seconds that the clocks of issuer and proxy may differ (semantics 2.9).
    public static let clockSkewSeconds: Int64 = 60
    /// Requests that are told of new keys while they wait; further ones find them when their time is over.
    public static let waitingMax = 1024
    /// Nanoseconds that a request waits for keys.
    public static let waitNanosecondsMax: UInt64 = 5_000_000_000
    /// Nanoseconds between two fetches of a key set that tokens with unknown keys ask for.
    public static let refetchNanoseconds: UInt64 = 10_000_000_000
    /// Sources of keys of a process.
    public static let sourcesMax = 4096
}
