internal import Primitives
internal import TelemetryModel

/// Where a request came in.
struct RequestOrigin: BitwiseCopyable {
    var connection = SlotID.none
    /// The request's number on its connection (HTTP/1.1) or its stream (HTTP/2).
    var stream: Int32 = 0
    var isHTTP2 = false
    /// The listener in the tables of the request's configuration; -1 = that has it no longer.
    var listener = -1
    var side = ProxySide.outbound
    /// It came by REDIRECT: the address it was meant for is another's.
    var isCaptured = false
    /// At a gateway, whose clients are strangers.
    var isEdge = false
    var remote = SocketEndpoint()
    /// The address that the client dialled.
    var local = SocketEndpoint()
    /// Its bytes came by TLS that a server of a Gateway terminates.
    var isSecured = false
    /// Who sends, and whom it is for as long as no route takes it.
    var labels = LabelPair.none
}

extension RequestRecord {
    /// What is known of a request or connection from its first moment on.
    mutating func note(_ origin: RequestOrigin, unixNanoseconds: UInt64) {
        startUnixNanoseconds = unixNanoseconds
        downstreamRemote = origin.remote
        downstreamLocal = origin.local
        side = origin.side
    }
}
