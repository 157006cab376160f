// libFuzzer entry: any bytes are an HTTP/2 connection or its end, whichever role we have and however they come in pieces; what is told of
// them lies within them.
import HTTP
import Primitives

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzHTTP2Session(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    guard size > 1 else { return 0 }
    let inbox = UnsafeMutablePointer<HTTPInbox>.allocate(capacity: 1)
    unsafe inbox.initialize(to: HTTPInbox(limits: HTTPLimits()))
    defer {
        unsafe inbox.deinitialize(count: 1)
        unsafe inbox.deallocate()
    }
    let isServer = unsafe data[0] & 1 == 0
    let pieceMax = unsafe max(1, Int(data[0] >> 1))
    var now = MonotonicInstant(nanoseconds: 1)
    var session = unsafe HTTP2Session(isServer ? .server : .client, inbox: inbox, now: now)
    var output = ByteBuffer()
    if isServer {
        // The mutator need not find the preface.
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        unsafe preface.withUnsafeBytes { unsafe _ = session.receive($0, now: now) }
    }
    var head = MessageHead()
    var start = 1
    while start < size {
        let end = min(size, start + pieceMax * 16)
        let piece = unsafe UnsafeRawBufferPointer(start: data + start, count: end - start)
        let (taken, outcome) = unsafe session.receive(piece, now: now)
        precondition(taken <= piece.count && (taken > 0 || outcome != .fine), "no step forward")
        for event in unsafe inbox.pointee.events.elements {
            switch event.kind {
            case .data: precondition(Int(event.start) + Int(event.count) <= piece.count, "a body beyond the bytes")
            case .head:
                let block = unsafe inbox.pointee.block(of: event)
                unsafe head.load(block, from: &inbox.pointee)
                for index in 0..<head.fieldCount { _ = head.nameBytes(at: index).count + head.bytes(at: index).count }
            default: break
            }
        }
        unsafe inbox.pointee.clear()
        unsafe inbox.pointee.clearDrained()
        output.clear()
        _ = session.fill(&output, bytesMax: 1 << 20)
        unsafe inbox.pointee.clear()
        if outcome != .fine { break }
        start += max(taken, 1)
        now = MonotonicInstant(nanoseconds: now.nanoseconds + 1_000_000)
    }
    return 0
}
