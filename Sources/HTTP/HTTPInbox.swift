public import Primitives

/// Something that a peer did on a connection of either version, in the order in which it did it.
public struct HTTPEvent: BitwiseCopyable, Sendable {
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        /// A whole header section: `block` says which. A request, a response (also an interim one), or trailers.
        case head
        /// Body bytes: `start` and `count` are the place in the bytes given to `receive`.
        case data
        /// The peer's half of the stream is complete, after its head, data and trailers.
        case end
        /// The stream is gone; with `code` 0 after a proper end, else it was reset by either side or refused.
        case closed
        /// The peer will accept no further stream.
        case goAway
    }

    public var kind: Kind
    /// The stream, over HTTP/1.1 the number of the message; 0 for `goAway`.
    public var stream: Int32
    /// What the owner attached to the stream; 0 = nothing.
    public var token: UInt64
    public var start: UInt32 = 0
    public var count: UInt32 = 0
    /// RFC 9113 7.
    public var code: UInt32 = 0
    /// `closed`: the peer reset the stream.
    public var isRemote = false
}

/// Error codes of RFC 9113 7 that this proxy sends or acts on.
public enum HTTP2ErrorCode {
    public static let noError: UInt32 = 0
    public static let protocolError: UInt32 = 1
    public static let internalError: UInt32 = 2
    public static let refusedStream: UInt32 = 7
    public static let cancel: UInt32 = 8
    public static let enhanceYourCalm: UInt32 = 11
}

/// A header section that an event tells of: what it is, and where the inbox has its fields.
public struct HeadSection: BitwiseCopyable, Sendable {
    /// 0 in a request and in trailers.
    public let status: UInt16
    /// A request's, as opposed to a response's or a trailer section.
    public let isRequest: Bool
    public let isTrailers: Bool
    /// The section exceeded `HTTPLimits.headBytesMax` or `fieldCountMax`; what is there is its beginning.
    public let isTooLarge: Bool
    /// No body follows.
    public let endsStream: Bool
    /// Its fields are those of the inbox's own head, where the parser left them: good until the connection is given bytes again.
    public let isParsed: Bool
    /// Of HTTP/1.1: bytes; of HTTP/2: size by RFC 9113 6.5.2 without its 32 bytes a field, names and values.
    public let byteCount: UInt32
    /// Among the inbox's blocks.
    let place: UInt32
}

/// A section of HTTP/2 as received: fields in the inbox's tables, pseudo-header fields apart.
struct HeadBlock: BitwiseCopyable, Sendable {
    /// Place in the inbox's bytes.
    struct Slice: BitwiseCopyable, Sendable {
        var start: UInt32 = 0
        var count: UInt32 = 0
        var isThere = false
    }

    var bytesStart: UInt32 = 0
    var bytesCount: UInt32 = 0
    var fieldStart: UInt32 = 0
    var fieldCount: UInt32 = 0
    var method = Slice()
    var scheme = Slice()
    var authority = Slice()
    var path = Slice()
    /// `:protocol` of an extended CONNECT (RFC 8441).
    var isExtendedConnect = false
    var status: UInt16 = 0
    /// `:status` was there, whatever it says.
    var hasStatus = false
    var isTooLarge = false
    var endsStream = false
    var byteCount: UInt32 = 0
    /// Fields decoded, those that were dropped for the limits included.
    var decodedFields: UInt32 = 0
}

/// What one `receive` or `fill` of any of a worker's connections had to tell, whichever version they speak. Owned by the worker, at an
/// address that never changes, and emptied by it after each call.
@safe
public struct HTTPInbox: ~Copyable {
    /// What the peers of all its connections may send.
    public let limits: HTTPLimits
    public internal(set) var events = WorkList<HTTPEvent>()
    var blocks = WorkList<HeadBlock>(capacity: 8)
    var bytes = ByteBuffer()
    var fields = WorkList<HeaderField>()
    /// Tokens of streams whose waiting output has fallen to the low watermark.
    public internal(set) var drained = WorkList<UInt64>()
    /// For trailer sections, which are put together while nghttp2 sends, and for heads of responses, which never are.
    var fieldList = HTTP2FieldList()
    /// The HTTP/1.1 head being parsed, and the text of one being written.
    var head = MessageHead()
    var text = ByteBuffer()
    /// Output buffers of connections that have nothing to send.
    public var shelf = BufferShelf()
    /// Output states not in use.
    var freeStreams: [UnsafeMutablePointer<HTTP2Stream>] = unsafe []
    /// Output buffers are kept warm up to this many streams.
    static let freeStreamsMax = 1024

    /// What nghttp2 allocates.
    let memory: UnsafeMutablePointer<HTTP2Memory>

    public init(limits: HTTPLimits) {
        self.limits = limits
        unsafe memory = .allocate(capacity: 1)
        unsafe memory.initialize(to: HTTP2Memory())
    }

    deinit {
        unsafe memory.deinitialize(count: 1)
        unsafe memory.deallocate()
        for unsafe stream in unsafe freeStreams {
            unsafe stream.deinitialize(count: 1)
            unsafe stream.deallocate()
        }
    }

    /// Forgets events and their bytes, keeping the memory unless it has grown large.
    public mutating func clear() {
        events.removeAll()
        blocks.removeAll()
        fields.removeAll(keeping: 16 * 1024)
        bytes.clear(keeping: 512 * 1024)
    }

    public mutating func clearDrained() { drained.removeAll() }

    /// Mutating, and `MessageHead.keep` takes the inbox inout: of one behind a pointer that is only borrowed, the compiler makes a copy
    /// first.
    public mutating func block(of event: HTTPEvent) -> HeadSection {
        if event.start == Self.isParsed {
            return HeadSection(
                status: UInt16(truncatingIfNeeded: event.code), isRequest: event.code & 1 << 16 != 0, isTrailers: event.code & 1 << 17 != 0,
                isTooLarge: false, endsStream: event.code & 1 << 18 != 0, isParsed: true, byteCount: event.count, place: 0)
        }
        let block = blocks[Int(event.start)]
        return HeadSection(
            status: block.status, isRequest: block.method.isThere, isTrailers: !block.method.isThere && !block.hasStatus,
            isTooLarge: block.isTooLarge, endsStream: block.endsStream, isParsed: false, byteCount: block.byteCount, place: event.start)
    }

    /// Adds bytes to the last event when they are of the same stream and stand right behind its own.
    mutating func extendData(stream: Int32, start: Int, count: Int) -> Bool {
        guard let last = events.last, last.kind == .data, last.stream == stream, Int(last.start) + Int(last.count) == start else {
            return false
        }
        events[events.count - 1].count += UInt32(clamping: count)
        return true
    }

    /// Keeps the head that `head` has been parsed to from the front of `source`, in the form of a section of HTTP/2; returns its place.
    mutating func keepHead(of source: UnsafeRawBufferPointer, isRequest: Bool, endsStream: Bool) -> UInt32 {
        var block = HeadBlock()
        block.bytesStart = UInt32(truncatingIfNeeded: bytes.count)
        block.bytesCount = UInt32(truncatingIfNeeded: head.byteCount)
        block.byteCount = block.bytesCount
        block.fieldStart = UInt32(truncatingIfNeeded: fields.count)
        block.fieldCount = UInt32(truncatingIfNeeded: head.fieldCount)
        block.endsStream = endsStream
        if isRequest {
            func slice(_ start: Int, _ count: Int) -> HeadBlock.Slice {
                HeadBlock.Slice(start: UInt32(truncatingIfNeeded: start), count: UInt32(truncatingIfNeeded: count), isThere: true)
            }
            block.method = slice(head.methodStart, head.methodCount)
            block.path = slice(head.targetStart, head.targetCount)
        }
        unsafe bytes.append(UnsafeRawBufferPointer(rebasing: source[..<head.byteCount]))
        for index in 0..<head.fieldCount { unsafe fields.append(head.field(index)) }
        blocks.append(block)
        return UInt32(truncatingIfNeeded: blocks.count - 1)
    }

    /// Tells of the head in `head`, which is looked at before the next one is parsed.
    mutating func tellHead(stream: Int32, token: UInt64, isRequest: Bool, isTrailers: Bool, endsStream: Bool) {
        var event = HTTPEvent(kind: .head, stream: stream, token: token, start: Self.isParsed)
        event.count = UInt32(truncatingIfNeeded: head.byteCount)
        event.code = isRequest || isTrailers ? 0 : UInt32(head.statusCode)
        if isRequest { event.code |= 1 << 16 }
        if isTrailers { event.code |= 1 << 17 }
        if endsStream { event.code |= 1 << 18 }
        events.append(event)
    }

    /// In place of a section's number: the head is where it was parsed, and the event says the rest.
    private static var isParsed: UInt32 { .max }

    mutating func takeStream(token: UInt64) -> UnsafeMutablePointer<HTTP2Stream> {
        if let stream = unsafe freeStreams.popLast() {
            unsafe stream.pointee.token = token
            return unsafe stream
        }
        let stream = UnsafeMutablePointer<HTTP2Stream>.allocate(capacity: 1)
        unsafe stream.initialize(to: HTTP2Stream(token: token))
        return unsafe stream
    }

    mutating func giveBack(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        guard unsafe freeStreams.count < Self.freeStreamsMax else {
            unsafe stream.deinitialize(count: 1)
            unsafe stream.deallocate()
            return
        }
        unsafe stream.pointee.reset()
        unsafe freeStreams.append(stream)
    }
}

/// An inbox at an address of its own. Whoever has one keeps it longer than the connections that use it.
@safe
public struct OwnedInbox: ~Copyable {
    @unsafe public let pointer: UnsafeMutablePointer<HTTPInbox>

    /// The inbox itself; not to be held on to while one of its connections is given bytes or commands.
    @inlinable
    public var contents: HTTPInbox {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
        @inline(__always) unsafeMutableAddress { unsafe pointer }
    }

    /// As `MessageHead.keep`.
    public func keep(_ section: HeadSection, in head: inout MessageHead) { unsafe head.keep(section, from: &pointer.pointee) }

    /// As `MessageHead.load`.
    @unsafe
    public func load(_ section: HeadSection, into head: inout MessageHead) { unsafe head.load(section, from: &pointer.pointee) }

    public init(limits: HTTPLimits) {
        unsafe pointer = .allocate(capacity: 1)
        unsafe pointer.initialize(to: HTTPInbox(limits: limits))
    }

    deinit {
        unsafe pointer.deinitialize(count: 1)
        unsafe pointer.deallocate()
    }
}

/// Our half of a stream: what waits to be sent on it.
@safe
struct HTTP2Stream: ~Copyable {
    var token: UInt64
    var id: Int32 = 0
    var output = ByteBuffer()
    /// Nothing will be appended any more.
    var isEnded = false
    /// nghttp2 waits for `resume`.
    var isDeferred = false
    /// Fields of the trailer section, as lines; empty = none.
    var trailers = ByteBuffer()
    /// Someone waits for the output to drain.
    var isWatched = false
    /// Reset the stream once our half is sent.
    var stopsPeer = false
    /// Neighbours among the open streams of the session.
    var next: UnsafeMutablePointer<HTTP2Stream>?
    var previous: UnsafeMutablePointer<HTTP2Stream>?

    init(token: UInt64) {
        self.token = token
        unsafe next = nil
        unsafe previous = nil
    }

    mutating func reset() {
        token = 0
        output.clear(keeping: 16 * 1024)
        isEnded = false
        isDeferred = false
        trailers.clear(keeping: 1024)
        isWatched = false
        stopsPeer = false
    }
}
