import EventLoops
import Glibc
import HTTP
import Primitives

struct HTTP2Answer {
    var status = 0
    var fields: [String: String] = [:]
    var body: [UInt8] = []
    var trailers: [String: String] = [:]
}

/// One request over HTTP/2 on a connection of its own; everything up to the end of its stream.
func http2Exchange(
    _ endpoint: SocketEndpoint, _ method: String, _ path: String, _ fields: [(String, String)] = [], body: [UInt8] = []
) throws -> HTTP2Answer {
    let fd = try Socket.connect(to: endpoint)
    defer { Socket.close(fd) }
    let inbox = UnsafeMutablePointer<HTTPInbox>.allocate(capacity: 1)
    unsafe inbox.initialize(to: HTTPInbox(limits: HTTPLimits()))
    defer {
        unsafe inbox.deinitialize(count: 1)
        unsafe inbox.deallocate()
    }
    var session = unsafe HTTP2Session(.client, inbox: inbox, now: MonotonicInstant(nanoseconds: 1))
    var list = HTTP2FieldList()
    list.begin()
    for (name, value) in [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)] + fields {
        unsafe Array(name.utf8).withUnsafeBytes { name in unsafe Array(value.utf8).withUnsafeBytes { unsafe list.add(name, copying: $0) } }
    }
    guard let stream = session.submitRequest(list, token: 1, hasBody: true) else { return HTTP2Answer() }
    unsafe body.withUnsafeBytes { unsafe _ = session.append($0, stream: stream) }
    unsafe session.end(stream: stream, trailers: UnsafeRawBufferPointer(start: nil, count: 0))
    var output = ByteBuffer()
    var head = MessageHead()
    var answer = HTTP2Answer()
    var isEnded = false
    var piece = [UInt8](repeating: 0, count: 65536)
    while !isEnded {
        _ = session.fill(&output, bytesMax: 1 << 20)
        var waiting = pollfd(fd: fd, events: Int16(POLLIN) | (output.isEmpty ? 0 : Int16(POLLOUT)), revents: 0)
        guard unsafe poll(&waiting, 1, 20_000) > 0 else { return answer }
        if waiting.revents & Int16(POLLOUT) != 0, case .bytes(let count) = unsafe Socket.write(fd, output.readable) {
            output.consume(count)
        }
        guard waiting.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 else { continue }
        guard case .bytes(let count) = unsafe piece.withUnsafeMutableBytes({ unsafe Socket.read(fd, into: $0) }) else { return answer }
        var offset = 0
        while offset < count {
            let rest = Array(piece[offset..<count])
            let (taken, outcome) = unsafe rest.withUnsafeBytes { unsafe session.receive($0, now: MonotonicInstant(nanoseconds: 1)) }
            if outcome != .fine { return answer }
            offset += taken
            for event in unsafe inbox.pointee.events.elements where event.stream == stream {
                switch event.kind {
                case .head:
                    let block = unsafe inbox.pointee.block(of: event)
                    unsafe head.load(block, from: &inbox.pointee)
                    var found: [String: String] = [:]
                    for index in 0..<head.fieldCount {
                        found[head.nameBytes(at: index).text] = head.bytes(at: index).text
                    }
                    if block.isTrailers {
                        answer.trailers = found
                    } else {
                        answer.status = Int(block.status)
                        answer.fields = found
                    }
                case .data:
                    answer.body += rest[Int(event.start)..<Int(event.start + event.count)]
                    session.consume(Int(event.count), stream: stream)
                case .end, .closed: isEnded = true
                case .goAway: break
                }
            }
            unsafe inbox.pointee.clear()
        }
    }
    return answer
}

/// Empty where `text` is no base64.
func base64Bytes(_ text: String) -> [UInt8] {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var bits: UInt32 = 0
    var count = 0
    var bytes: [UInt8] = []
    for character in text.utf8 where character != UInt8(ascii: "=") {
        guard let digit = alphabet.firstIndex(of: character) else { return [] }
        bits = bits << 6 | UInt32(digit)
        count += 6
        if count >= 8 {
            count -= 8
            bytes.append(UInt8(bits >> UInt32(count) & 255))
        }
    }
    return bytes
}
