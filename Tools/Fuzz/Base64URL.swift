// libFuzzer entry: a text is taken exactly when it is the text of the bytes that it stands for.
import JOSE
import Primitives

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzBase64URL(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var buffer = ByteBuffer()
    buffer.append("before")
    guard unsafe Base64URL.decode(LentBytes(UnsafeRawBufferPointer(start: data, count: size)), into: &buffer) else {
        precondition(buffer.contents == Array("before".utf8), "a refused text left something behind")
        return 0
    }
    let bytes = Array(buffer.contents.dropFirst(6))
    let text = unsafe Array(UnsafeBufferPointer(start: data, count: size))
    precondition(Array(Base64URL.encode(bytes).utf8) == text, "two texts for the same bytes")
    return 0
}
