// libFuzzer entry: any bytes are the body of a unary call; whole or in pieces they come to the same message or the same refusal.
import HTTP

private func read(_ data: UnsafeRawBufferPointer, _ size: Int) -> (message: [UInt8], isComplete: Bool, fault: GRPCFrameFault?) {
    var framing = GRPCFraming(bytesMax: 1 << 16)
    var message: [UInt8] = []
    var start = 0
    while start < data.count {
        let end = min(data.count, start + size)
        while start < end {
            let (consumed, event) = unsafe framing.next(UnsafeRawBufferPointer(rebasing: data[start..<end]))
            start += consumed
            precondition(start <= end, "more taken than given")
            switch event {
            case .needMore: precondition(start == end, "bytes left and none wanted")
            case .message(let count):
                precondition(count > 0 && count <= end - start, "a message beyond the bytes")
                unsafe message.append(contentsOf: data[start..<start + count])
                start += count
            case .refused(let fault): return (message, framing.isComplete, fault)
            }
        }
    }
    return (message, framing.isComplete, nil)
}

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzGRPCFraming(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size)
    let whole = unsafe read(bytes, max(1, size))
    for piece in [1, 3, 7] {
        let pieces = unsafe read(bytes, piece)
        precondition(pieces.message == whole.message && pieces.fault == whole.fault && pieces.isComplete == whole.isComplete, "pieces tell")
    }
    return 0
}
