internal import Primitives

/// A piece of a header value that a rule sets: text, or one of Envoy's command operators ("Custom request/response headers").
public struct HeaderValuePiece: Sendable, BitwiseCopyable {
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        case text
        /// REQ and RESP; `:METHOD`, `:PATH` and `:AUTHORITY` too.
        case requestField, responseField
        case downstreamRemote, downstreamRemoteAddress, downstreamRemotePort
        case downstreamLocal, downstreamLocalAddress, downstreamLocalPort
        case upstreamHost, protocolName, responseCode
        /// Seconds since 1970, and their fraction in three, six or nine digits.
        case startSeconds, startMilliseconds, startMicroseconds, startNanoseconds
    }

    public var kind = Kind.text
    /// The text, or the field's name in lower case.
    var literal = TableRange()
    /// The field that stands in for one that is not there.
    var substitute = TableRange()
    /// Bytes of the value at most; 0 = all.
    public var bytesMax: UInt32 = 0
}
