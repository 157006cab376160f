// libFuzzer entry: any bytes are a client's connection; in pieces they tell the same events as whole, and what is told of them lies
// within them.
import HTTP
import Primitives

private func read(_ data: UnsafeRawBufferPointer, _ size: Int) -> [UInt64] {
    let inbox = UnsafeMutablePointer<HTTPInbox>.allocate(capacity: 1)
    unsafe inbox.initialize(to: HTTPInbox(limits: HTTPLimits()))
    defer {
        unsafe inbox.deinitialize(count: 1)
        unsafe inbox.deallocate()
    }
    var connection = unsafe HTTP1Connection(inbox: inbox, pipelinedMax: 1 << 20)
    var told: [UInt64] = []
    var start = 0
    var end = 0
    var bodyBytes: UInt64 = 0
    while end < data.count {
        end = min(data.count, end + size)
        let piece = unsafe UnsafeRawBufferPointer(rebasing: data[start..<end])
        let (taken, refusal) = unsafe connection.receive(piece)
        precondition(taken <= piece.count, "more taken than given")
        for event in unsafe inbox.pointee.events.elements {
            switch event.kind {
            case .data:
                precondition(Int(event.start) + Int(event.count) <= piece.count, "a body beyond the bytes")
                bodyBytes += UInt64(event.count)
                connection.consume(Int(event.count))
            case .head, .end, .closed, .goAway:
                told.append(UInt64(event.kind.rawValue) << 56 | UInt64(UInt32(bitPattern: event.stream)) | bodyBytes << 32)
            }
        }
        unsafe inbox.pointee.clear()
        if let refusal {
            told.append(UInt64(refusal.status))
            break
        }
        start += taken
    }
    return told
}

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzHTTP1Connection(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size)
    let whole = unsafe read(bytes, max(1, size))
    for piece in [1, 3, 61] { precondition(unsafe read(bytes, piece) == whole, "pieces tell") }
    return 0
}
