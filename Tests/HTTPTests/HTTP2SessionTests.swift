import HTTP
import Primitives
import Testing

/// A session and what its peer sends, frame by frame.
@safe
final class HTTP2Peer {
    private let inbox: UnsafeMutablePointer<HTTPInbox>
    private let session: UnsafeMutablePointer<HTTP2Session>
    private(set) var taken = 0
    private(set) var closed: [(stream: Int32, code: UInt32)] = []
    private(set) var heads = 0

    init(_ role: HTTP2Session.Role) {
        unsafe inbox = .allocate(capacity: 1)
        unsafe inbox.initialize(to: HTTPInbox(limits: HTTPLimits()))
        unsafe session = .allocate(capacity: 1)
        unsafe session.initialize(to: HTTP2Session(role, inbox: inbox, now: MonotonicInstant(nanoseconds: 1)))
        if role == .server { _ = send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)) }
        _ = send(Self.frame(4, 0, 0, []))
    }

    deinit {
        // The session gives its streams back to the inbox.
        unsafe session.deinitialize(count: 1)
        unsafe session.deallocate()
        unsafe inbox.deinitialize(count: 1)
        unsafe inbox.deallocate()
    }

    static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        let count = payload.count
        return [UInt8(count >> 16), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags]
            + [UInt8(stream >> 24), UInt8(stream >> 16 & 255), UInt8(stream >> 8 & 255), UInt8(stream & 255)] + payload
    }

    /// A field without a place in the table, its name and value as they are.
    static func field(_ name: String, _ value: String) -> [UInt8] {
        [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
    }

    static let get: [UInt8] = [0x82, 0x86, 0x84] + [0x41, 1] + Array("a".utf8)

    @discardableResult
    func send(_ bytes: [UInt8]) -> HTTP2Session.Outcome {
        var offset = 0
        var outcome = HTTP2Session.Outcome.fine
        while offset < bytes.count, outcome == .fine {
            let result = unsafe bytes.withUnsafeBytes { all in
                unsafe session.pointee.receive(UnsafeRawBufferPointer(rebasing: all[offset...]), now: MonotonicInstant(nanoseconds: 1))
            }
            offset += result.taken
            taken += result.taken
            outcome = result.outcome
            drain()
        }
        return outcome
    }

    /// Opens a request, for a client's session.
    func request() -> Int32? {
        var list = HTTP2FieldList()
        list.begin()
        list.add(":method", "GET")
        list.add(":scheme", "http")
        list.add(":authority", "a")
        list.add(":path", "/")
        let stream = unsafe session.pointee.submitRequest(list, token: 7, hasBody: false)
        drain()
        return stream
    }

    private func drain() {
        var output = ByteBuffer()
        unsafe _ = session.pointee.fill(&output, bytesMax: 1 << 20)
        for index in 0..<(unsafe inbox.pointee.events.count) {
            let event = unsafe inbox.pointee.events[index]
            if event.kind == .closed { closed.append((event.stream, event.code)) }
            if event.kind == .head { heads += 1 }
        }
        unsafe inbox.pointee.clear()
    }

    var errorCode: UInt32 { unsafe session.pointee.sentErrorCode }
}

@Suite struct HTTP2SessionTests {
    /// RFC 9113 5.1.1: the number between two that were used is gone.
    @Test func aStreamThatWasPassedOverEndsTheConnection() {
        let peer = HTTP2Peer(.server)
        #expect(peer.send(HTTP2Peer.frame(1, 5, 5, HTTP2Peer.get)) == .fine)
        #expect(peer.send(HTTP2Peer.frame(1, 5, 3, HTTP2Peer.get)) == .ended(flooded: false))
        #expect(peer.errorCode == HTTP2ErrorCode.protocolError)
        #expect(peer.heads == 1)
    }

    /// What was on its way when its stream was reset is nobody's fault (RFC 9113 5.1).
    @Test func trailersOfAStreamThatIsOverAreIgnored() {
        let peer = HTTP2Peer(.server)
        #expect(peer.send(HTTP2Peer.frame(1, 4, 1, HTTP2Peer.get)) == .fine)
        #expect(peer.send(HTTP2Peer.frame(3, 0, 1, [0, 0, 0, 8])) == .fine)
        #expect(peer.send(HTTP2Peer.frame(1, 5, 3, HTTP2Peer.get)) == .fine)
        #expect(peer.send(HTTP2Peer.frame(1, 5, 1, HTTP2Peer.field("x-t", "1"))) == .fine)
        #expect(peer.send(HTTP2Peer.frame(1, 5, 5, HTTP2Peer.get)) == .fine)
        #expect(peer.heads == 3)
    }

    /// A number so far back that nothing is known of it any more is no new stream either.
    @Test func aNumberFarBackEndsTheConnection() {
        let peer = HTTP2Peer(.server)
        #expect(peer.send(HTTP2Peer.frame(1, 5, 1, HTTP2Peer.get)) == .fine)
        #expect(peer.send(HTTP2Peer.frame(1, 5, 10_001, HTTP2Peer.get)) == .fine)
        #expect(peer.send(HTTP2Peer.frame(1, 5, 9_999, HTTP2Peer.get)) == .ended(flooded: false))
        #expect(peer.errorCode == HTTP2ErrorCode.protocolError)
    }

    /// One byte names a field of the table; nghttp2 decodes them all behind the one that broke the stream.
    @Test(arguments: [HTTP2Peer.field("", ""), HTTP2Peer.field("connection", "close"), HTTP2Peer.field("X", "")])
    func sectionsThatNobodyLooksAtAreSoonTooMany(_ broken: [UInt8]) {
        let peer = HTTP2Peer(.server)
        let section = HTTP2Peer.get + broken + [UInt8](repeating: 0x82, count: 16_000)
        var outcome = HTTP2Session.Outcome.fine
        for stream in stride(from: UInt32(1), to: 200, by: 2) where outcome == .fine { outcome = peer.send(HTTP2Peer.frame(1, 5, stream, section)) }
        #expect(outcome == .ended(flooded: true))
        #expect(peer.taken < 40_000, "\(peer.taken) bytes")
    }

    @Test func aSectionWithoutAnEndIsSoonTooLong() {
        let peer = HTTP2Peer(.server)
        var outcome = peer.send(HTTP2Peer.frame(1, 1, 1, HTTP2Peer.get + HTTP2Peer.field("connection", "close") + [UInt8](repeating: 0x82, count: 16_000)))
        for _ in 0..<15 where outcome == .fine { outcome = peer.send(HTTP2Peer.frame(9, 0, 1, [UInt8](repeating: 0x82, count: 16_000))) }
        #expect(outcome == .ended(flooded: true))
        #expect(peer.taken < 120_000, "\(peer.taken) bytes")
    }

    /// Small sections with an ignored rest are charged by the rest, in whatever frames it comes.
    @Test(arguments: [1, 7, 500, 9000])
    func whatFollowsABrokenFieldIsChargedInEveryFrame(_ piece: Int) {
        let peer = HTTP2Peer(.server)
        var bytes: [UInt8] = []
        for stream in stride(from: UInt32(1), to: 100, by: 2) {
            bytes += HTTP2Peer.frame(1, 1, stream, HTTP2Peer.get + HTTP2Peer.field("connection", "close"))
            for last in 0..<4 { bytes += HTTP2Peer.frame(9, last == 3 ? 4 : 0, stream, [UInt8](repeating: 0x82, count: 2000)) }
        }
        var outcome = HTTP2Session.Outcome.fine
        var start = 0
        while start < bytes.count, outcome == .fine {
            outcome = peer.send(Array(bytes[start..<min(start + piece, bytes.count)]))
            start += piece
        }
        // With the reset gone out first, nghttp2 takes the rest of the section for an error itself.
        #expect(outcome == .ended(flooded: true) || piece == 1 && outcome == .ended(flooded: false))
        #expect(peer.taken < 40_000, "\(peer.taken) bytes")
    }

    /// A head of 50 KB in one field and many frames is a head like any other.
    @Test func longHeadsInSmallFramesAreFree() {
        let peer = HTTP2Peer(.server)
        let long: [UInt8] = [0, 3] + Array("x-a".utf8) + [0x7f, 0xd1, 0x85, 0x3] + [UInt8](repeating: 97, count: 50_000)
        for stream in stride(from: UInt32(1), to: 40, by: 2) {
            var bytes = HTTP2Peer.frame(1, 1, stream, HTTP2Peer.get)
            let pieces = 10
            for index in 0..<pieces {
                let piece = Array(long[(long.count * index / pieces)..<(long.count * (index + 1) / pieces)])
                bytes += HTTP2Peer.frame(9, index == pieces - 1 ? 4 : 0, stream, piece)
            }
            #expect(peer.send(bytes) == .fine)
            #expect(peer.send(HTTP2Peer.frame(3, 0, stream, [0, 0, 0, 8])) == .fine)
        }
        #expect(peer.heads == 20)
    }

    /// Requests as clients send them cost nothing, however many.
    @Test func goodSectionsAreFree() {
        let peer = HTTP2Peer(.server)
        let cookie = HTTP2Peer.field("cookie", String(repeating: "0a", count: 60))
        for stream in stride(from: UInt32(1), to: 4000, by: 2) {
            guard peer.send(HTTP2Peer.frame(1, 4, stream, HTTP2Peer.get + cookie)) == .fine, peer.send(HTTP2Peer.frame(3, 0, stream, [0, 0, 0, 8])) == .fine || stream > 900 else {
                Issue.record("stream \(stream)")
                return
            }
            if stream > 900 { break }
        }
        #expect(peer.heads > 400)
    }

    /// No head could be written for it in HTTP/1.1, so its body would stand there alone.
    @Test(arguments: ["000", "001", "099", "101", "1x0", "20", "2000", "-10", ""])
    func aStatusThatIsNoneBreaksTheStream(_ status: String) {
        let peer = HTTP2Peer(.client)
        let stream = peer.request()
        #expect(stream == 1)
        #expect(peer.send(HTTP2Peer.frame(1, 4, 1, HTTP2Peer.field(":status", status)) + HTTP2Peer.frame(0, 1, 1, Array("HTTP/1.1 200 OK\r\n\r\n".utf8))) == .fine)
        #expect(peer.heads == 0)
        #expect(peer.closed.count == 1)
    }

    @Test(arguments: ["100", "200", "599", "999"])
    func otherStatusesAreHeads(_ status: String) {
        let peer = HTTP2Peer(.client)
        #expect(peer.request() == 1)
        #expect(peer.send(HTTP2Peer.frame(1, 4, 1, HTTP2Peer.field(":status", status))) == .fine)
        #expect(peer.heads == 1)
    }
}
