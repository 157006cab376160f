import Primitives
import Testing

@Suite struct FixedOutputTests {
    private func written(capacity: Int, _ body: (inout FixedOutput) -> Void) -> String {
        unsafe withUnsafeTemporaryAllocation(byteCount: max(1, capacity), alignment: 8) { room in
            guard let base = room.baseAddress else { return "" }
            var output = unsafe FixedOutput(base, capacity: capacity)
            body(&output)
            return unsafe String(decoding: room[..<output.count], as: UTF8.self)
        }
    }

    @Test func piecesFollowEachOther() {
        let text = written(capacity: 44) {
            $0.append("a")
            $0.append(eight: 0x6263_6465_6667_6869)
            $0.append(four: 0x6A6B_6C6D)
            $0.append(byte: UInt8(ascii: "="))
            $0.append(decimal: 18_446_744_073_709_551_615)
        }
        #expect(text == "abcdefghijklm=18446744073709551615")
        #expect(written(capacity: 0) { _ in } == "")
    }

    @Test func roomThatIsLentIsCounted() {
        let text = written(capacity: 4) {
            $0.append(byte: UInt8(ascii: "x"))
            let left = unsafe $0.rest.count
            #expect(left == 3)
            unsafe $0.rest.storeBytes(of: UInt8(ascii: "y"), as: UInt8.self)
            $0.commit(1)
        }
        #expect(text == "xy")
    }

    /// Lengths around the powers of ten are where a digit would be lost.
    @Test func decimals() {
        var numbers: [UInt64] = [0, .max]
        var power: UInt64 = 1
        for _ in 0..<19 {
            power *= 10
            numbers += [power - 1, power, power + 1]
        }
        for number in numbers { #expect(written(capacity: 20) { $0.append(decimal: number) } == String(number)) }
    }
}
