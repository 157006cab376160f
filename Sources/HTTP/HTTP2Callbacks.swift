internal import CNGHTTP2
internal import Primitives

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
