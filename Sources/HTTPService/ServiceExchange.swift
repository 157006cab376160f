internal import HTTP
internal import Primitives

/// One request of a client and its answer.
struct ServiceExchange: ~Copyable {
    enum Phase {
        /// The body is coming.
        case receiving
        /// A handler owes the answer.
        case handling
        /// The answer has begun; its end is not known.
        case streaming
        /// The answer is complete and leaves as the client takes it.
        case answered
    }

    let connection: SlotID
    /// Number of the request in its connection.
    let stream: Int32
    let presence = Presence()
    var phase = Phase.receiving
    var method = ""
    var path = ""
    var query = ""
    var fields: [(name: String, value: String)] = []
    var trailers: [(name: String, value: String)] = []
    /// Takes the body as it comes; nil = it is collected in `body`.
    var reader: (any ServiceBodyReader)?
    var body = ByteBuffer()
    /// Bytes counted for this body in the connection's total and the server's.
    var countedBytes = 0
    var answerBytes = 0
    var isReceived = false
    /// The request's last bytes, or of an answer the last time that some of it was seen to have left.
    var activeAt: MonotonicInstant
    var waitingBytes = 0

    init(connection: SlotID, stream: Int32, now: MonotonicInstant) {
        self.connection = connection
        self.stream = stream
        activeAt = now
    }
}
