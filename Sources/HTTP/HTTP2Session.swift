internal import CNGHTTP2
public import Primitives

/// One HTTP/2 connection, sans I/O, over libnghttp2: bytes in, events out; heads, data and resets in, bytes out. Either role.
///
/// nghttp2 enforces RFC 9113's frame rules, header rules (8.2, 8.3) and `content-length` = data; this type adds bounds on what a peer may
/// make us do (`HTTP2FloodGuard`, `HTTPLimits`). Events go to the worker's inbox. Owned by one thread; never used from within its own
/// callbacks.
@safe
public struct HTTP2Session: ~Copyable {
    public enum Role: Sendable {
        case server, client
    }

    /// What came of a call.
    public enum Outcome: Sendable, Equatable {
        case fine
        /// The peer broke the protocol or flooded: send what `fill` gives, then close.
        case ended(flooded: Bool)
    }

    private let session: OpaquePointer
    let context: UnsafeMutablePointer<HTTP2Context>

    /// Bytes that a peer may send on one stream before we have passed them on.
    public static let streamWindow: Int32 = 256 * 1024
    /// Bytes handed to nghttp2 at once: bounds what compressed heads can grow to before their events are looked at.
    static let sliceBytes = 4096
    /// Head bytes in the inbox beyond which `receive` stops for the worker to look at them.
    static let arenaBytesMax = 256 * 1024
    /// CONTINUATION frames of one header section (CVE-2024-28182).
    static let continuationsMax = 16
    /// Frames that may wait because the peer reads none of them.
    static let outboundFramesMax = 4096
    /// Answers to SETTINGS and PING that may wait to be sent.
    static let acknowledgementsMax = 100

    /// `inbox` must outlive the session. `now` is the time of the first byte.
    @unsafe
    public init(_ role: Role, inbox: UnsafeMutablePointer<HTTPInbox>, now: MonotonicInstant) {
        unsafe context = .allocate(capacity: 1)
        unsafe context.initialize(to: HTTP2Context(role: role, inbox: inbox, now: now))
        let limits = unsafe inbox.pointee.limits
        var session: OpaquePointer?
        var option: OpaquePointer?
        unsafe nghttp2_option_new(&option)
        unsafe nghttp2_option_set_no_auto_window_update(option, 1)
        unsafe nghttp2_option_set_no_closed_streams(option, 1)
        unsafe nghttp2_option_set_max_outbound_ack(option, Self.acknowledgementsMax)
        unsafe nghttp2_option_set_max_continuations(option, Self.continuationsMax)
        unsafe nghttp2_option_set_max_settings(option, 32)
        // Ours counts first and says so; this one is the belt.
        unsafe nghttp2_option_set_stream_reset_rate_limit(option, 2000, 200)
        // Until the peer's SETTINGS arrive, as many as we allow ourselves.
        unsafe nghttp2_option_set_peer_max_concurrent_streams(option, limits.streamsMax)
        unsafe nghttp2_option_set_max_send_header_block_length(option, 256 * 1024)
        let callbacks = unsafe HTTP2Callbacks.shared.pointer
        var memory = unsafe HTTP2Memory.functions(inbox.pointee.memory)
        let status =
            unsafe role == .server
            ? nghttp2_session_server_new3(&session, callbacks, context, option, &memory)
            : nghttp2_session_client_new3(&session, callbacks, context, option, &memory)
        unsafe nghttp2_option_del(option)
        guard status == 0, let session = unsafe session else { preconditionFailure("out of memory") }
        unsafe self.session = unsafe session
        greet(limits)
    }

    deinit {
        // Output states of streams that never closed go back; their callbacks run during deletion.
        unsafe nghttp2_session_del(session)
        unsafe context.pointee.returnStreams()
        unsafe context.deinitialize(count: 1)
        unsafe context.deallocate()
    }

    private func greet(_ limits: HTTPLimits) {
        func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
            nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
        }
        var settings = [
            entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(Self.streamWindow)),
            entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, unsafe context.pointee.role == .server ? limits.streamsMax : 0),
            entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(clamping: limits.headBytesMax)),
        ]
        if unsafe context.pointee.role == .server {
            settings.append(entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1))
        } else {
            settings.append(entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
        }
        unsafe nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
        // As many as all its streams together, so that no slow stream starves another.
        let window = Int32(clamping: Int(limits.streamsMax) * Int(Self.streamWindow))
        unsafe nghttp2_session_set_local_window_size(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, window)
    }

    // MARK: Bytes

    /// Takes bytes from the peer. Returns how many were taken: fewer than given when the worker must look at the inbox first.
    @unsafe
    public mutating func receive(_ bytes: UnsafeRawBufferPointer, now: MonotonicInstant) -> (taken: Int, outcome: Outcome) {
        unsafe context.pointee.now = now
        guard let base = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return (0, .fine) }
        unsafe context.pointee.inputBase = base
        var offset = 0
        while offset < bytes.count {
            let slice = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset..<min(offset + Self.sliceBytes, bytes.count)])
            let (count, continuationBytes) = unsafe context.pointee.meter.next(slice)
            if continuationBytes > 0 { unsafe context.pointee.sectionContinues(continuationBytes) }
            let taken = unsafe nghttp2_session_mem_recv(session, base + offset, count)
            if taken < 0 { return (bytes.count, fail(Int32(clamping: taken))) }
            offset += taken
            if unsafe context.pointee.isFlooded || nghttp2_session_get_outbound_queue_size(session) > Self.outboundFramesMax {
                unsafe nghttp2_session_terminate_session(session, HTTP2ErrorCode.enhanceYourCalm)
                return (bytes.count, .ended(flooded: true))
            }
            if unsafe context.pointee.inbox.pointee.bytes.count > Self.arenaBytesMax { break }
        }
        if unsafe nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0 {
            return (offset, .ended(flooded: false))
        }
        return (offset, .fine)
    }

    private mutating func fail(_ error: Int32) -> Outcome {
        let isFlood = unsafe context.pointee.isFlooded || error == NGHTTP2_ERR_FLOODED.rawValue
            || error == NGHTTP2_ERR_TOO_MANY_SETTINGS.rawValue
        unsafe nghttp2_session_terminate_session(session, isFlood ? HTTP2ErrorCode.enhanceYourCalm : HTTP2ErrorCode.protocolError)
        return .ended(flooded: isFlood)
    }

    /// Appends what is to be sent to `output` until it holds `bytesMax` or nothing is left.
    public mutating func fill(_ output: inout ByteBuffer, bytesMax: Int) -> Outcome {
        while output.count < bytesMax {
            var data: UnsafePointer<UInt8>?
            let count = unsafe nghttp2_session_mem_send(session, &data)
            if count < 0 { return .ended(flooded: false) }
            if count == 0 {
                guard !cuts.isEmpty else { break }
                for cut in cuts { unsafe _ = nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), cut.stream, cut.code) }
                cuts.removeAll(keepingCapacity: true)
                continue
            }
            unsafe output.append(UnsafeRawBufferPointer(start: data, count: count))
        }
        return .fine
    }

    public var wantsWrite: Bool { unsafe nghttp2_session_want_write(session) != 0 || !cuts.isEmpty }
    /// Both sides are done with this connection.
    public var isFinished: Bool { unsafe nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0 }
    /// The peer has said GOAWAY, or we have.
    public var isGoingAway: Bool { unsafe context.pointee.sawGoAway || context.pointee.saidGoAway }
    /// The error that we ended the connection for; 0 = none.
    public var sentErrorCode: UInt32 { unsafe context.pointee.sentErrorCode }
    /// Streams that are open.
    public var openStreams: Int { unsafe context.pointee.openStreams }

    /// Streams to be reset once nothing more can be sent.
    private var cuts: [(stream: Int32, code: UInt32)] = []

    /// Our own bound on the streams of a client session, besides the peer's.
    public var streamsMax = UInt32.max

    /// What the peer is taken to allow until it says what it does.
    public var streamsAssumed = UInt32.max

    /// The streams that the peer has said it allows; nil before it has.
    public var peerStreamsMax: UInt32? {
        unsafe context.pointee.sawSettings ? nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) : nil
    }

    /// Streams that may still be opened on this client session now.
    public var spareStreams: Int {
        if isGoingAway { return 0 }
        guard unsafe nghttp2_session_check_request_allowed(session) != 0 else { return 0 }
        let own = unsafe context.pointee.limits.streamsMax
        let allowed = min(streamsMax, own, peerStreamsMax ?? streamsAssumed)
        return max(0, Int(allowed) - openStreams)
    }

    // MARK: Heads

    /// Opens a stream with the request in `list`; nil when it cannot be opened. `token` comes back in its events; not 0.
    public mutating func submitRequest(_ list: borrowing HTTP2FieldList, token: UInt64, hasBody: Bool) -> Int32? {
        if list.isOverfull { return nil }
        let stream = unsafe context.pointee.inbox.pointee.takeStream(token: token)
        var provider = unsafe HTTP2Callbacks.provider(stream)
        let id = unsafe hasBody
            ? nghttp2_submit_request(session, nil, list.table, list.count, &provider, stream)
            : nghttp2_submit_request(session, nil, list.table, list.count, nil, stream)
        guard id > 0 else {
            unsafe context.pointee.inbox.pointee.giveBack(stream)
            return nil
        }
        unsafe stream.pointee.id = id
        unsafe context.pointee.adopt(stream)
        return id
    }

    /// Answers a stream. False when it is gone or the section cannot be sent. `stopsPeer`, for a response without a body: as in `end`.
    /// Such a response must end with its head, since a gRPC client takes its status from there only then (gRPC over HTTP/2,
    /// "Trailers-Only").
    public mutating func submitResponse(
        _ list: borrowing HTTP2FieldList, stream id: Int32, hasBody: Bool, stopsPeer: Bool = false
    ) -> Bool {
        guard !list.isOverfull, let stream = unsafe output(id) else { return false }
        if !hasBody { unsafe stream.pointee.stopsPeer = stopsPeer }
        var provider = unsafe HTTP2Callbacks.provider(stream)
        return unsafe hasBody
            ? nghttp2_submit_response(session, id, list.table, list.count, &provider) == 0
            : nghttp2_submit_response(session, id, list.table, list.count, nil) == 0
    }

    /// An interim response (1xx).
    public mutating func submitInterim(_ list: borrowing HTTP2FieldList, stream id: Int32) {
        unsafe _ = nghttp2_submit_headers(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, nil, list.table, list.count, nil)
    }

    // MARK: Bodies

    private func output(_ id: Int32) -> UnsafeMutablePointer<HTTP2Stream>? {
        if let known = unsafe nghttp2_session_get_stream_user_data(session, id) {
            return unsafe known.assumingMemoryBound(to: HTTP2Stream.self)
        }
        return unsafe context.pointee.unopened(id)
    }

    /// Queues body bytes; returns how many wait on this stream now, or nil when the stream is gone.
    @unsafe @discardableResult
    public mutating func append(_ bytes: UnsafeRawBufferPointer, stream id: Int32) -> Int? {
        guard let stream = unsafe output(id) else { return nil }
        unsafe stream.pointee.output.append(bytes)
        unsafe wake(stream, id)
        return unsafe stream.pointee.output.count
    }

    /// The body is complete. `trailers`: lines as in HTTP/1.1, or empty.
    /// `stopsPeer`: the peer is asked to send no more either, once everything is out (RFC 9113 8.1).
    @unsafe
    public mutating func end(stream id: Int32, trailers: UnsafeRawBufferPointer, stopsPeer: Bool = false) {
        guard let stream = unsafe output(id) else { return }
        unsafe stream.pointee.stopsPeer = stopsPeer
        unsafe stream.pointee.trailers.append(trailers)
        unsafe stream.pointee.isEnded = true
        unsafe wake(stream, id)
    }

    private mutating func wake(_ stream: UnsafeMutablePointer<HTTP2Stream>, _ id: Int32) {
        if unsafe stream.pointee.isDeferred {
            unsafe stream.pointee.isDeferred = false
            unsafe _ = nghttp2_session_resume_data(session, id)
        }
    }

    /// Bytes waiting on a stream; 0 when it is gone.
    public func waiting(stream id: Int32) -> Int {
        guard let stream = unsafe output(id) else { return 0 }
        return unsafe stream.pointee.output.count
    }

    /// Asks for the stream's token in `HTTPInbox.drained` once its output has fallen to the low watermark.
    public func watch(stream id: Int32) {
        if let stream = unsafe output(id) { unsafe stream.pointee.isWatched = true }
    }

    /// Bytes received on a stream have been passed on: the peer may send as many again.
    public mutating func consume(_ count: Int, stream id: Int32) {
        if count > 0 { unsafe _ = nghttp2_session_consume(session, id, count) }
    }

    /// Gives back the connection's share of bytes received on a stream that is gone.
    public mutating func consumeConnection(_ count: Int) {
        if count > 0 { unsafe _ = nghttp2_session_consume_connection(session, count) }
    }

    // MARK: Ends

    /// Ends a stream at once. Its owner gets no further event.
    public mutating func reset(stream id: Int32, code: UInt32) {
        detach(stream: id)
        unsafe _ = nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, code)
    }

    /// Ends a stream behind what waits on it, as far as the peer's windows let that out: a reset would overtake even the head. No further
    /// event.
    public mutating func cut(stream id: Int32, code: UInt32) {
        detach(stream: id)
        if unsafe output(id) != nil { cuts.append((id, code)) }
    }

    /// The owner lost interest; what waits is still sent.
    public mutating func detach(stream id: Int32) {
        if let stream = unsafe output(id) { unsafe stream.pointee.token = 0 }
    }

    /// Gives a stream of this server session its owner.
    public mutating func attach(token: UInt64, stream id: Int32) {
        if let stream = unsafe output(id) { unsafe stream.pointee.token = token }
    }

    /// The stream's owner; 0 = none, or the stream is gone.
    public func token(stream id: Int32) -> UInt64 {
        guard id > 0, let stream = unsafe output(id) else { return 0 }
        return unsafe stream.pointee.token
    }

    /// Whether the peer has not taken the stream back already.
    public func isOpen(stream id: Int32) -> Bool { unsafe output(id) != nil }

    /// Tells the peer that the connection will end soon, and takes streams that it has opened meanwhile: `goAway` a little later loses
    /// none of them (RFC 9113 6.8).
    public mutating func announceEnd() {
        guard unsafe !context.pointee.saidGoAway else { return }
        _ = unsafe nghttp2_submit_shutdown_notice(session)
    }

    /// Tells the peer to open no further stream; those that are open finish (RFC 9113 6.8).
    public mutating func goAway() {
        guard unsafe !context.pointee.saidGoAway else { return }
        unsafe context.pointee.saidGoAway = true
        let last = unsafe nghttp2_session_get_last_proc_stream_id(session)
        unsafe _ = nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, HTTP2ErrorCode.noError, nil, 0)
    }

    /// Appends the tokens of all open streams that have one.
    public func tokens(into tokens: inout [UInt64]) {
        var stream = unsafe context.pointee.firstStream
        while let open = unsafe stream {
            if unsafe open.pointee.token != 0 { unsafe tokens.append(open.pointee.token) }
            unsafe stream = unsafe open.pointee.next
        }
    }
}
