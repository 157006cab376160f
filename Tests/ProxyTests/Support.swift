import Primitives

/// Calls `body` with the bytes of a text.
func withBytes<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    let bytes = Array(text.utf8)
    return unsafe try bytes.withUnsafeBytes { buffer in unsafe try body(buffer) }
}

extension ByteBuffer {
    var bytes: [UInt8] { unsafe Array(readable) }
}
