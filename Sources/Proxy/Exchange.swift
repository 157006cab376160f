internal import HTTP
internal import Primitives
internal import TelemetryModel

/// One request and its response, from the head to the access record. Parked and reused, so that its buffers stay warm.
struct Exchange: ~Copyable {
    var downstream = SlotID.none
    var upstream = SlotID.none
    /// Index of the pool whose `active` this request counts in; -1 = none.
    var pool = -1
    var record = RequestRecord()
    var start = MonotonicInstant(nanoseconds: 0)
    /// Text slots of the record, in slot order, and their lengths.
    var text = ByteBuffer()
    var textLengths = InlineArray<56, UInt16>(repeating: RequestRecordView.absentLength)
    var textCount = 0
    /// The head as sent upstream, kept until the response begins so that a stale connection can be replaced.
    var requestHead = ByteBuffer()
    var requestFraming = BodyFraming.none
    var requestRemaining: UInt64 = 0
    var requestDecoder = ChunkedDecoder()
    /// Position of a trailer section that has not arrived whole.
    var trailerScan = HeadScan()
    var responseFraming = BodyFraming.none
    var responseRemaining: UInt64 = 0
    var responseDecoder = ChunkedDecoder()
    var timer = TimerWheel.TimerID.none
    var flags = Flags()

    struct Flags: OptionSet {
        let rawValue: UInt32
        static let requestComplete = Flags(rawValue: 1 << 0)
        /// The head of the final response has been written downstream.
        static let responseStarted = Flags(rawValue: 1 << 1)
        static let isHEAD = Flags(rawValue: 1 << 2)
        static let isHTTP10 = Flags(rawValue: 1 << 3)
        /// The client wants, and may have, its connection kept.
        static let keepsAlive = Flags(rawValue: 1 << 4)
        static let wantsUpgrade = Flags(rawValue: 1 << 5)
        /// Bytes pass both ways untouched.
        static let isTunnel = Flags(rawValue: 1 << 6)
        static let isIdempotent = Flags(rawValue: 1 << 7)
        /// On a connection that has served before.
        static let onReusedConnection = Flags(rawValue: 1 << 8)
        static let wasRetried = Flags(rawValue: 1 << 9)
        /// Body bytes have gone to the connection, so that the request cannot be sent again.
        static let bodyForwarded = Flags(rawValue: 1 << 10)
        /// The response to the client is chunked by us.
        static let chunksResponse = Flags(rawValue: 1 << 11)
        static let expectsContinue = Flags(rawValue: 1 << 12)
        /// Chunk data is over and the trailer section is awaited.
        static let requestInTrailers = Flags(rawValue: 1 << 13)
        static let responseInTrailers = Flags(rawValue: 1 << 14)
        static let upstreamEnded = Flags(rawValue: 1 << 15)
        static let downstreamEnded = Flags(rawValue: 1 << 16)
        /// The request is refused or answered; the rest of its body is dropped.
        static let dropsBody = Flags(rawValue: 1 << 17)
    }

    init() {}

    /// Back to the state of a new exchange, keeping the buffers.
    mutating func begin(downstream: SlotID, start: MonotonicInstant) {
        self.downstream = downstream
        self.start = start
        upstream = .none
        pool = -1
        record = RequestRecord()
        text.clear(keeping: 4096)
        requestHead.clear(keeping: 4096)
        textCount = 0
        requestFraming = .none
        requestRemaining = 0
        requestDecoder = ChunkedDecoder()
        responseFraming = .none
        responseRemaining = 0
        responseDecoder = ChunkedDecoder()
        trailerScan = HeadScan()
        timer = .none
        flags = []
    }

    /// Appends the next text slot of the record; nil = the message has no such value.
    mutating func append(text bytes: UnsafeRawBufferPointer?, limits: borrowing ProxyLimits) {
        guard textCount < 56 else { return }
        guard let bytes = unsafe bytes else {
            textLengths[textCount] = RequestRecordView.absentLength
            textCount += 1
            return
        }
        // Cut, not dropped: the beginning of a value tells most.
        let count = min(bytes.count, max(0, limits.recordTextBytesMax - text.count))
        unsafe text.append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        textLengths[textCount] = UInt16(truncatingIfNeeded: count)
        textCount += 1
    }
}
