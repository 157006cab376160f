public import HTTPService

/// Where an exporter sends, and its bounds.
public struct ExporterSettings: Sendable, Equatable {
    /// Label of its counters: the provider's name.
    public var name: String
    /// A name or an address.
    public var host: String
    public var port: UInt16
    /// Empty = the encoding's own.
    public var path = ""
    /// Nil = plaintext.
    public var tls: ClientTLS?
    /// Spans, points or log records waiting; further batches are dropped whole.
    public var queueItemsMax = 16_384
    public var queueBytesMax = 16 << 20
    public var itemsPerRequestMax = 1024
    /// To the end of TLS' handshake.
    public var connectTimeoutNanoseconds: UInt64 = 5_000_000_000
    /// From the first byte of the request to the last of the answer.
    public var requestTimeoutNanoseconds: UInt64 = 10_000_000_000
    public var backoffNanosecondsMin: UInt64 = 200_000_000
    public var backoffNanosecondsMax: UInt64 = 10_000_000_000
    /// Attempts for one request before what is in it is given up.
    public var attemptsMax = 10

    public init(name: String, host: String, port: UInt16) {
        self.name = name
        self.host = host
        self.port = port
    }
}
