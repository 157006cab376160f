@testable import CertificateExchange
import Testing

@Suite struct IstioCertificateMessagesTests {
    /// `csr: "AB"`, `validity_duration: 3600`, `metadata`, as protobuf encodes them.
    static let bytes: [UInt8] = [0x0A, 2, 0x41, 0x42, 0x18, 0x90, 0x1C, 0x22, 2, 0x0A, 0]

    @Test func aRequestIsRead() {
        #expect(IstioCertificateMessages.request(Self.bytes) == .init(csr: [0x41, 0x42], seconds: 3600))
        #expect(IstioCertificateMessages.request([]) == .init())
    }

    /// Lengths of the peer's are never believed: whatever comes is read or refused, and nothing traps.
    @Test func garbageIsRefused() {
        for bad: [UInt8] in [
            [0x0A, 5, 1], [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0], [0x18], [0x0B], [0x09, 1], [0x00, 1],
            [0x18, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2],
        ] { #expect(IstioCertificateMessages.request(bad) == nil) }
        let seed = UInt64.random(in: 1...UInt64.max)
        var state = seed
        for _ in 0..<20_000 {
            let bytes = (0..<Int(state % 24)).map { _ in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return UInt8(truncatingIfNeeded: state >> 33)
            }
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            if let request = IstioCertificateMessages.request(bytes) { #expect(request.csr.count <= bytes.count, "seed \(seed)") }
        }
    }

    @Test func anAnswerHasALongChain() {
        let chain: [[UInt8]] = [[UInt8](repeating: 7, count: 300), [1]]
        #expect(IstioCertificateMessages.response(chain) == [0x0A, 0xAC, 2] + chain[0] + [0x0A, 1, 1])
    }
}
