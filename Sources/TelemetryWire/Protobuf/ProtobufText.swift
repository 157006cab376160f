import TelemetryModel

/// Texts of a protobuf body, which lies in a batch's arena from `start` on: they are references into that copy. Only what has to be changed
/// is written once more, behind it.
@safe
struct ProtobufText {
    private let body: ProtobufReader
    /// Where the copy of the body begins in the batch's arena.
    let start: Int

    /// Copies the body into the arena.
    init(_ body: ProtobufReader, _ batch: inout SpanBatch) {
        self.body = body
        start = batch.text.count
        unsafe batch.text.append(contentsOf: body.bytes(body.at..<body.end))
    }

    /// The text in `range` of the body; a repaired copy when it is not UTF-8.
    @inline(__always)
    func reference(to range: Range<Int>, _ batch: inout SpanBatch) -> TextRef {
        if unsafe UTF8Text.isValid(body.bytes(range)) {
            return TextRef(offset: UInt32(truncatingIfNeeded: start &+ range.lowerBound), count: UInt32(truncatingIfNeeded: range.count))
        }
        let offset = batch.text.count
        unsafe UTF8Text.append(repaired: body.bytes(range), to: &batch.text)
        return Self.reference(from: offset, batch)
    }

    /// The text that was appended to the arena from `offset` on.
    @inline(__always)
    static func reference(from offset: Int, _ batch: SpanBatch) -> TextRef {
        TextRef(offset: UInt32(truncatingIfNeeded: offset), count: UInt32(truncatingIfNeeded: batch.text.count - offset))
    }

    /// The text itself when it has no capital letters, else a lower-cased copy.
    static func lowercased(_ text: TextRef, _ batch: inout SpanBatch) -> TextRef {
        let range = Int(text.offset)..<Int(text.offset) + Int(text.count)
        let isASCII = unsafe batch.text.withUnsafeBytes { arena -> Bool? in
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: arena[range])
            guard let base = bytes.baseAddress else { return nil }
            guard unsafe UTF8Text.isASCII(base, bytes.count) else { return false }
            return unsafe UTF8Text.hasCapitals(ascii: bytes) ? true : nil
        }
        guard let isASCII else { return text }
        let offset = batch.text.count
        batch.text.append(contentsOf: Array(batch.text[range]))
        TextCase.lowercase(reference(from: offset, batch), isASCII: isASCII, &batch.text)
        return reference(from: offset, batch)
    }

    /// The bytes of a text in the body; nil for a repaired one, which is no name that anybody knows.
    @inline(__always)
    func bytes(of text: TextRef) -> UnsafeRawBufferPointer? {
        let offset = Int(text.offset) &- start
        guard offset < body.end else { return nil }
        return unsafe body.bytes(offset..<offset &+ Int(text.count))
    }
}
