// libFuzzer entry: any text is a format or an error.
import TelemetryWire

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzAccessLogFormat(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let text = unsafe String(decoding: UnsafeBufferPointer(start: data, count: size), as: UTF8.self)
    _ = try? AccessLogFormat.text(text)
    return 0
}
