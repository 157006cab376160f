internal import CNGHTTP2
internal import Primitives

/// What nghttp2's callbacks of one session work with. At an address that never changes.
@safe
struct HTTP2Context: ~Copyable {
    let role: HTTP2Session.Role
    let inbox: UnsafeMutablePointer<HTTPInbox>
    let limits: HTTPLimits
    var now: MonotonicInstant
    var guardian: HTTP2FloodGuard
    var isFlooded = false
    /// The bytes that `receive` was given.
    var inputBase: UnsafePointer<UInt8>?
    var sawGoAway = false
    /// The peer has said what it allows.
    var sawSettings = false
    /// The last stream that the peer reset.
    var resetByPeer: Int32 = 0
    var saidGoAway = false
    var openStreams = 0
    /// Output states of all open streams, for the end of the session.
    var firstStream: UnsafeMutablePointer<HTTP2Stream>?
    /// The code of the GOAWAY we sent; 0 = none, or no error.
    var sentErrorCode: UInt32 = 0

    /// Streams that the client has begun.
    var begun = HTTP2StreamLog()
    /// The peer broke a rule that ends the connection and that nghttp2 lets pass.
    var isBroken = false
    var meter: HTTP2FrameMeter
    /// Of the last header section: bytes on the wire, and the most that the fields which we were shown may have taken of them.
    var sectionWireBytes = 0
    var sectionSeenBytes = 0

    // The header section being received; one at a time in a connection (RFC 9113 4.3).
    var block = HeadBlock()
    var blockBytes = ByteBuffer()
    var blockFields: [HeaderField] = []
    /// Crumbs of `cookie`, joined (RFC 9113 8.2.3).
    var cookies = ByteBuffer()

    init(role: HTTP2Session.Role, inbox: UnsafeMutablePointer<HTTPInbox>, limits: HTTPLimits, now: MonotonicInstant) {
        self.role = role
        unsafe self.inbox = unsafe inbox
        self.limits = limits
        self.now = now
        guardian = HTTP2FloodGuard(now: now)
        meter = HTTP2FrameMeter(hasPreface: role == .server)
        unsafe inputBase = nil
        unsafe firstStream = nil
    }

    mutating func adopt(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        openStreams += 1
        unsafe stream.pointee.next = firstStream
        unsafe stream.pointee.previous = nil
        unsafe firstStream?.pointee.previous = stream
        unsafe firstStream = unsafe stream
    }

    /// A stream of ours that nghttp2 knows only from the moment its head is sent; the newest come first.
    func unopened(_ id: Int32) -> UnsafeMutablePointer<HTTP2Stream>? {
        guard role == .client else { return nil }
        var stream = unsafe firstStream
        while let open = unsafe stream {
            if unsafe open.pointee.id == id { return unsafe open }
            unsafe stream = unsafe open.pointee.next
        }
        return nil
    }

    mutating func release(_ stream: UnsafeMutablePointer<HTTP2Stream>) {
        let next = unsafe stream.pointee.next
        let previous = unsafe stream.pointee.previous
        unsafe next?.pointee.previous = previous
        if let previous = unsafe previous {
            unsafe previous.pointee.next = next
        } else {
            unsafe firstStream = unsafe next
        }
        openStreams -= 1
        unsafe inbox.pointee.giveBack(stream)
    }

    mutating func returnStreams() {
        while let stream = unsafe firstStream { unsafe release(stream) }
    }

    mutating func spend(_ count: Int32 = 1) {
        if !guardian.spend(count, now: now) { isFlooded = true }
    }

    /// A header section may grow to this many times the limits before the connection ends instead of the request: it must be decoded for
    /// the table's sake, but not for ever.
    static let decodedBytesFactor = 4
    static let decodedFieldsFactor = 8

    // MARK: A header section

    /// Charges for the bytes of the last section that were decoded for nobody.
    private mutating func settleSection() {
        let unseen = sectionWireBytes &- sectionSeenBytes
        if unseen > 0 { spend(Int32(clamping: unseen / HTTP2FloodGuard.unseenBytesPerFrame)) }
        sectionWireBytes = 0
        sectionSeenBytes = 0
    }

    mutating func frameBegins(_ header: nghttp2_frame_hd) {
        if header.type == HTTP2FrameMeter.continuation { return }
        if sectionWireBytes > 0 { settleSection() }
        if header.type == UInt8(NGHTTP2_HEADERS.rawValue) { sectionWireBytes = header.length }
    }

    /// The section goes on with so many bytes more.
    mutating func sectionContinues(_ count: Int) {
        sectionWireBytes &+= count
        if sectionWireBytes &- sectionSeenBytes > HTTP2FloodGuard.unseenBytesMax { isFlooded = true }
    }

    mutating func beginBlock() {
        block = HeadBlock()
        blockBytes.clear(keeping: 4096)
        blockFields.removeAll(keepingCapacity: true)
        cookies.clear(keeping: 4096)
    }

    mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        // The longest code of a byte has 30 bits (RFC 7541 B), and some encoders use them whatever it costs.
        sectionSeenBytes &+= 4 &* (name.count &+ value.count) &+ 32
        block.byteCount &+= UInt32(clamping: name.count &+ value.count)
        block.decodedFields &+= 1
        if Int(block.byteCount) > limits.headBytesMax * Self.decodedBytesFactor
            || Int(block.decodedFields) > limits.fieldCountMax * Self.decodedFieldsFactor
        {
            isFlooded = true
        }
        guard Int(block.byteCount) <= limits.headBytesMax, blockFields.count < min(limits.fieldCountMax, HTTPLimits.fieldSlots - 1) else {
            block.isTooLarge = true
            return
        }
        if name.count > 1, unsafe name[0] == UInt8(ascii: ":") {
            unsafe addPseudo(name, value)
            return
        }
        if unsafe ASCII.equal(name, "cookie") {
            if !cookies.isEmpty { cookies.append("; ") }
            unsafe cookies.append(value)
            return
        }
        unsafe addField(name, value)
    }

    /// Kept as an HTTP/1.1 line, so that it can be passed on in either version.
    private mutating func addField(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        var field = HeaderField()
        field.nameStart = UInt32(truncatingIfNeeded: blockBytes.count)
        field.nameCount = UInt16(clamping: name.count)
        field.valueStart = UInt32(truncatingIfNeeded: blockBytes.count + name.count + 2)
        field.valueCount = UInt32(truncatingIfNeeded: value.count)
        field.isCanonical = true
        // nghttp2 lets no other name through (RFC 9113 8.2.1).
        field.isLowercase = true
        field.name = unsafe HeaderName.lookup(name)
        if field.name == .other || field.name == .envoyOther {
            for unsafe byte in unsafe name where byte == UInt8(ascii: "_") { field.hasUnderscore = true }
        }
        unsafe blockBytes.append(name)
        blockBytes.append(": ")
        unsafe blockBytes.append(value)
        blockBytes.append("\r\n")
        blockFields.append(field)
    }

    private mutating func addPseudo(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        let slice = HeadBlock.Slice(
            start: UInt32(truncatingIfNeeded: blockBytes.count), count: UInt32(truncatingIfNeeded: value.count), isThere: true)
        switch unsafe name[1] {
        case UInt8(ascii: "m"): block.method = slice
        case UInt8(ascii: "a"): block.authority = slice
        case UInt8(ascii: "s"):
            // nghttp2 has seen to it that it is three digits.
            if unsafe ASCII.equal(name, ":status") {
                block.hasStatus = true
                block.status = unsafe UInt16(clamping: ASCII.decimal(value) ?? 0)
                return
            }
            block.scheme = slice
        case UInt8(ascii: "p"):
            if unsafe ASCII.equal(name, ":protocol") {
                block.isExtendedConnect = true
                return
            }
            block.path = slice
        default: return
        }
        unsafe blockBytes.append(value)
    }

    /// `:path` is neither `*` nor begins with a slash (RFC 9113 8.3.1). nghttp2 asks that of http and https alone; of any other scheme an
    /// absolute URI would pass, and name a host beside `:authority`.
    var pathIsForeign: Bool {
        guard block.path.isThere else { return false }
        let start = Int(block.path.start)
        let path = unsafe UnsafeRawBufferPointer(rebasing: blockBytes.readable[start..<start + Int(block.path.count)])
        return unsafe path.isEmpty || (path[0] != UInt8(ascii: "/") && !ASCII.equal(path, "*"))
    }

    /// `:status` is no status (RFC 9110 15): nothing below 100 is one, in HTTP/1.1 no head could be written for it, and the body would
    /// stand there alone.
    var statusIsForeign: Bool { block.hasStatus && block.status < 100 }

    /// Moves the finished section into the inbox and tells of it.
    mutating func endBlock(stream: Int32, token: UInt64, endsStream: Bool) {
        if !cookies.isEmpty {
            let name: StaticString = "cookie"
            unsafe addField(UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), cookies.readable)
        }
        if block.isTooLarge, role == .server { spend(HTTP2FloodGuard.largeHeadCost) }
        block.endsStream = endsStream
        unsafe block.bytesStart = UInt32(truncatingIfNeeded: inbox.pointee.bytes.count)
        block.bytesCount = UInt32(truncatingIfNeeded: blockBytes.count)
        unsafe block.fieldStart = UInt32(truncatingIfNeeded: inbox.pointee.fields.count)
        block.fieldCount = UInt32(truncatingIfNeeded: blockFields.count)
        unsafe inbox.pointee.bytes.append(blockBytes.readable)
        for index in blockFields.indices { unsafe inbox.pointee.fields.append(blockFields[index]) }
        unsafe inbox.pointee.blocks.append(block)
        let place = unsafe UInt32(truncatingIfNeeded: inbox.pointee.blocks.count - 1)
        unsafe inbox.pointee.events.append(HTTPEvent(kind: .head, stream: stream, token: token, start: place))
        if endsStream { unsafe inbox.pointee.events.append(HTTPEvent(kind: .end, stream: stream, token: token)) }
        if blockBytes.capacity > 8192 { blockBytes.release() }
    }
}

/// The callbacks, the same for all sessions of the process.
///
/// `@unchecked Sendable`: written once before anybody sees it; nghttp2 copies it into each session.
@safe
final class HTTP2Callbacks: @unchecked Sendable {
    static let shared = HTTP2Callbacks()
    let pointer: OpaquePointer

    private init() {
        var callbacks: OpaquePointer?
        unsafe nghttp2_session_callbacks_new(&callbacks)
        guard let callbacks = unsafe callbacks else { preconditionFailure("out of memory") }
        unsafe pointer = unsafe callbacks
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { session, frame, user in
            unsafe HTTP2Callbacks.beginHeaders(session, frame, user)
        }
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) { _, _, name, nameCount, value, valueCount, _, user in
            guard let context = unsafe HTTP2Callbacks.context(user) else { return 0 }
            unsafe context.pointee.add(
                UnsafeRawBufferPointer(start: name, count: nameCount), UnsafeRawBufferPointer(start: value, count: valueCount))
            // Ends the decoding at once; `receive` then ends the connection.
            return unsafe context.pointee.isFlooded ? NGHTTP2_ERR_CALLBACK_FAILURE.rawValue : 0
        }
        unsafe nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks) { _, _, _, _, _, _, _, _ in
            // Malformed fields make the message malformed (RFC 9113 8.1.1); nghttp2 alone would drop them in silence.
            NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { session, frame, user in
            unsafe HTTP2Callbacks.frameReceived(session, frame, user)
        }
        unsafe nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { session, header, user in
            unsafe HTTP2Callbacks.frameBegins(session, header, user)
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { session, _, stream, data, count, user in
            unsafe HTTP2Callbacks.dataReceived(session, stream, data, count, user)
        }
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { session, frame, user in
            unsafe HTTP2Callbacks.frameSent(session, frame, user)
        }
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { session, stream, code, user in
            unsafe HTTP2Callbacks.streamClosed(session, stream, code, user)
        }
    }

    static func context(_ user: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<HTTP2Context>? {
        unsafe user?.assumingMemoryBound(to: HTTP2Context.self)
    }

    static func stream(_ session: OpaquePointer?, _ id: Int32) -> UnsafeMutablePointer<HTTP2Stream>? {
        unsafe nghttp2_session_get_stream_user_data(session, id)?.assumingMemoryBound(to: HTTP2Stream.self)
    }

    private static func beginHeaders(
        _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
    ) -> Int32 {
        guard let context = unsafe context(user), let frame = unsafe frame else { return 0 }
        unsafe context.pointee.beginBlock()
        if unsafe context.pointee.role == .server && frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
            let stream = unsafe context.pointee.inbox.pointee.takeStream(token: 0)
            unsafe context.pointee.adopt(stream)
            unsafe _ = nghttp2_session_set_stream_user_data(session, frame.pointee.hd.stream_id, stream)
        }
        return 0
    }

    /// Counts the frames that are worth counting even when nghttp2 would ignore them.
    private static func frameBegins(
        _ session: OpaquePointer?, _ header: UnsafePointer<nghttp2_frame_hd>?, _ user: UnsafeMutableRawPointer?
    ) -> Int32 {
        guard let context = unsafe context(user), let header = unsafe header else { return 0 }
        unsafe context.pointee.frameBegins(header.pointee)
        switch unsafe header.pointee.type {
        case UInt8(NGHTTP2_DATA.rawValue):
            let isEnd = unsafe header.pointee.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
            if unsafe header.pointee.length > 0 {
                unsafe context.pointee.guardian.earn()
            } else if !isEnd {
                unsafe context.pointee.spend()
            }
        case UInt8(NGHTTP2_HEADERS.rawValue):
            // A number that was passed over and comes after all is an error of the connection (RFC 9113 5.1.1), which nghttp2 ignores.
            // What comes behind the end of a stream that was open may have been on its way (RFC 9113 5.1).
            if unsafe context.pointee.role == .server && stream(session, header.pointee.stream_id) == nil
                && !context.pointee.begun.note(header.pointee.stream_id)
            {
                unsafe context.pointee.isBroken = true
            }
            // One stream more than allowed is decoded all the same, and refused.
            if unsafe context.pointee.role == .server && context.pointee.openStreams >= Int(context.pointee.limits.streamsMax) {
                unsafe context.pointee.spend()
            }
        default:
            // Everything else asks for attention and carries nothing: a peer earns these with the requests and data it sends, and with
            // time.
            unsafe context.pointee.spend()
        }
        return unsafe context.pointee.isBroken || context.pointee.isFlooded ? NGHTTP2_ERR_CALLBACK_FAILURE.rawValue : 0
    }

    private static func frameReceived(
        _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
    ) -> Int32 {
        guard let context = unsafe context(user), let frame = unsafe frame else { return 0 }
        let header = unsafe frame.pointee.hd
        let ends = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        switch header.type {
        case UInt8(NGHTTP2_HEADERS.rawValue):
            guard let stream = unsafe stream(session, header.stream_id) else { return 0 }
            if unsafe context.pointee.pathIsForeign || context.pointee.statusIsForeign {
                unsafe _ = nghttp2_submit_rst_stream(
                    session, UInt8(NGHTTP2_FLAG_NONE.rawValue), header.stream_id, HTTP2ErrorCode.protocolError)
                return 0
            }
            unsafe context.pointee.endBlock(stream: header.stream_id, token: stream.pointee.token, endsStream: ends)
        case UInt8(NGHTTP2_DATA.rawValue):
            guard ends, let stream = unsafe stream(session, header.stream_id) else { return 0 }
            unsafe context.pointee.inbox.pointee.events.append(HTTPEvent(kind: .end, stream: header.stream_id, token: stream.pointee.token))
        case UInt8(NGHTTP2_SETTINGS.rawValue):
            if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0 { unsafe context.pointee.sawSettings = true }
        case UInt8(NGHTTP2_RST_STREAM.rawValue): unsafe context.pointee.resetByPeer = header.stream_id
        case UInt8(NGHTTP2_GOAWAY.rawValue):
            unsafe context.pointee.sawGoAway = true
            unsafe context.pointee.inbox.pointee.events.append(HTTPEvent(kind: .goAway, stream: 0, token: 0))
        default: break
        }
        return 0
    }

    private static func frameSent(
        _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
    ) -> Int32 {
        guard let frame = unsafe frame, let context = unsafe context(user) else { return 0 }
        let header = unsafe frame.pointee.hd
        switch header.type {
        case UInt8(NGHTTP2_GOAWAY.rawValue):
            unsafe context.pointee.sentErrorCode = frame.pointee.goaway.error_code
        case UInt8(NGHTTP2_RST_STREAM.rawValue):
            // What we reset for reasons of our own has one of these codes.
            let code = unsafe frame.pointee.rst_stream.error_code
            let isOurs = code == HTTP2ErrorCode.noError || code == HTTP2ErrorCode.internalError || code == HTTP2ErrorCode.cancel
                || code == HTTP2ErrorCode.refusedStream
            if unsafe !isOurs && context.pointee.role == .server { unsafe context.pointee.spend(HTTP2FloodGuard.brokenStreamCost) }
        case UInt8(NGHTTP2_DATA.rawValue), UInt8(NGHTTP2_HEADERS.rawValue):
            guard header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0, let stream = unsafe stream(session, header.stream_id),
                unsafe stream.pointee.stopsPeer
            else { return 0 }
            unsafe _ = nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), header.stream_id, HTTP2ErrorCode.noError)
        default: break
        }
        return 0
    }

    private static func dataReceived(
        _ session: OpaquePointer?, _ id: Int32, _ data: UnsafePointer<UInt8>?, _ count: Int, _ user: UnsafeMutableRawPointer?
    ) -> Int32 {
        guard let context = unsafe context(user), let data = unsafe data, let base = unsafe context.pointee.inputBase else { return 0 }
        guard let stream = unsafe stream(session, id), unsafe stream.pointee.token != 0 || context.pointee.role == .server else {
            // Nobody wants it: only the connection's window must not shrink for ever.
            unsafe _ = nghttp2_session_consume(session, id, count)
            return 0
        }
        // One frame comes in as many pieces as nghttp2 was given it in.
        if unsafe context.pointee.inbox.pointee.extendData(stream: id, start: data - base, count: count) { return 0 }
        unsafe context.pointee.inbox.pointee.events.append(
            HTTPEvent(
                kind: .data, stream: id, token: stream.pointee.token, start: UInt32(clamping: data - base), count: UInt32(clamping: count)))
        return 0
    }

    private static func streamClosed(_ session: OpaquePointer?, _ id: Int32, _ code: UInt32, _ user: UnsafeMutableRawPointer?) -> Int32 {
        guard let context = unsafe context(user), let stream = unsafe stream(session, id) ?? context.pointee.unopened(id) else { return 0 }
        let token = unsafe stream.pointee.token
        // Also without an owner: one may be on its way from an event that has not been looked at.
        unsafe context.pointee.inbox.pointee.events.append(
            HTTPEvent(kind: .closed, stream: id, token: token, code: code, isRemote: context.pointee.resetByPeer == id))
        if code == HTTP2ErrorCode.noError { unsafe context.pointee.guardian.earn() }
        unsafe _ = nghttp2_session_set_stream_user_data(session, id, nil)
        unsafe context.pointee.release(stream)
        return 0
    }

    // MARK: Sending

    static func provider(_ stream: UnsafeMutablePointer<HTTP2Stream>) -> nghttp2_data_provider {
        var provider = unsafe nghttp2_data_provider()
        unsafe provider.source.ptr = UnsafeMutableRawPointer(stream)
        unsafe provider.read_callback = { session, id, out, room, flags, source, user in
            unsafe HTTP2Callbacks.read(session, id, out, room, flags, source, user)
        }
        return unsafe provider
    }

    /// Waiting bytes fall to this before a paused source is told to go on.
    static let lowWatermark = 64 * 1024

    private static func read(
        _ session: OpaquePointer?, _ id: Int32, _ out: UnsafeMutablePointer<UInt8>?, _ room: Int, _ flags: UnsafeMutablePointer<UInt32>?,
        _ source: UnsafeMutablePointer<nghttp2_data_source>?, _ user: UnsafeMutableRawPointer?
    ) -> Int {
        guard let context = unsafe context(user), let out = unsafe out, let flags = unsafe flags,
            let stream = unsafe source?.pointee.ptr?.assumingMemoryBound(to: HTTP2Stream.self)
        else { return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
        let count = unsafe min(room, stream.pointee.output.count)
        if count > 0, let base = unsafe stream.pointee.output.readable.baseAddress {
            unsafe UnsafeMutableRawPointer(out).copyMemory(from: base, byteCount: count)
            unsafe stream.pointee.output.consume(count)
            unsafe context.pointee.guardian.earn()
        }
        if unsafe stream.pointee.isWatched && stream.pointee.output.count <= lowWatermark {
            unsafe stream.pointee.isWatched = false
            unsafe context.pointee.inbox.pointee.drained.append(stream.pointee.token)
        }
        if unsafe stream.pointee.output.isEmpty {
            if unsafe stream.pointee.isEnded {
                unsafe flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
                if unsafe !stream.pointee.trailers.isEmpty {
                    unsafe flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue)
                    guard unsafe sendTrailers(session, id, context, stream) else {
                        // A section that cannot be sent whole is not sent in part: nghttp2 resets the stream.
                        return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
                    }
                }
            } else if count == 0 {
                unsafe stream.pointee.isDeferred = true
                return Int(NGHTTP2_ERR_DEFERRED.rawValue)
            }
        }
        return count
    }

    private static func sendTrailers(
        _ session: OpaquePointer?, _ id: Int32, _ context: UnsafeMutablePointer<HTTP2Context>, _ stream: UnsafeMutablePointer<HTTP2Stream>
    ) -> Bool {
        unsafe context.pointee.inbox.pointee.fieldList.begin()
        unsafe context.pointee.inbox.pointee.fieldList.add(lines: stream.pointee.trailers.readable)
        if unsafe context.pointee.inbox.pointee.fieldList.isOverfull { return false }
        return unsafe nghttp2_submit_trailer(
            session, id, context.pointee.inbox.pointee.fieldList.table, context.pointee.inbox.pointee.fieldList.count) == 0
    }
}
