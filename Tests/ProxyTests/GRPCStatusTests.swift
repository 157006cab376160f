import Primitives
@testable import Proxy
import Testing

@Suite struct GRPCStatusTests {
    /// gRPC clients decide by these whether to retry (statuscodes and http-grpc-status-mapping in grpc/doc).
    @Test(arguments: [
        (400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (500, 2), (418, 2), (200, 2),
    ] as [(UInt16, UInt8)])
    func followsTheMappingForHTTP(_ http: UInt16, _ code: UInt8) { #expect(GRPCStatus.code(forHTTP: http) == code) }

    /// RED series count by HTTP status: a gRPC failure that looked like 200 would be invisible there, a cancellation no server error.
    @Test func onlyZeroCountsAsSuccess() {
        #expect(GRPCStatus.http(0) == 200)
        for code in UInt8(1)...255 { #expect((400...599).contains(GRPCStatus.http(code)), "\(code)") }
        #expect(GRPCStatus.http(1) == 499)
        #expect(GRPCStatus.http(14) == 503)
    }

    /// The text of an authorizer may be anything, and a field's value may not.
    @Test(arguments: [
        ("", ""), ("plain text", "plain text"), (" a ", "%20a%20"), ("a\r\nb: c", "a%0D%0Ab: c"), ("100%", "100%25"), ("é\0", "%C3%A9%00"),
    ])
    func messagesAreEncoded(text: String, value: String) {
        var text = text
        var output = ByteBuffer()
        text.withUTF8 { unsafe GRPCStatus.append(message: LentBytes(UnsafeRawBufferPointer($0)), to: &output) }
        let encoded = unsafe String(decoding: output.readable, as: UTF8.self)
        #expect(encoded == value)
    }

    @Test func messagesAreBounded() {
        var text = String(repeating: "x", count: GRPCStatus.messageBytesMax + 10)
        var output = ByteBuffer()
        text.withUTF8 { unsafe GRPCStatus.append(message: LentBytes(UnsafeRawBufferPointer($0)), to: &output) }
        let count = output.count
        #expect(count == GRPCStatus.messageBytesMax)
    }
}
