import Primitives
import Testing

@Suite struct ByteBufferTests {
    static func bytes(_ buffer: borrowing ByteBuffer) -> [UInt8] { unsafe Array(buffer.readable) }

    /// A buffer without memory has no place to write to: what is empty must not ask for one.
    @Test func nothingGoesIntoAFreshBuffer() {
        var buffer = ByteBuffer()
        buffer.append("")
        buffer.append(copyOf: 0..<0)
        buffer.append(string: "")
        unsafe buffer.append(UnsafeRawBufferPointer(start: nil, count: 0))
        let count = buffer.count
        #expect(count == 0)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func behavesAsAnArray(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var buffer = ByteBuffer()
        var model: [UInt8] = []
        for step in 0..<20_000 {
            switch random.below(10) {
            case 0...3:
                let piece = (0..<Int(random.below(300))).map { UInt8(truncatingIfNeeded: $0 &+ step) }
                unsafe piece.withUnsafeBytes { unsafe buffer.append($0) }
                model += piece
            case 4:
                buffer.append(byte: UInt8(truncatingIfNeeded: step))
                model.append(UInt8(truncatingIfNeeded: step))
            case 5:
                let value = random.next() >> UInt64(random.below(64))
                buffer.append(decimal: value)
                buffer.append(hexadecimal: value)
                model += Array(String(value).utf8) + Array(String(value, radix: 16).utf8)
            case 6:
                let room = Int(random.below(2000))
                let place = unsafe buffer.reserve(room)
                let count = Int(random.below(UInt32(room + 1)))
                for offset in 0..<count { unsafe place.storeBytes(of: 7, toByteOffset: offset, as: UInt8.self) }
                buffer.commit(count)
                model += Array(repeating: 7, count: count)
            case 7:
                let count = Int(random.below(UInt32(model.count + 1)))
                buffer.consume(count)
                model.removeFirst(count)
            case 8:
                let start = Int(random.below(UInt32(model.count + 1)))
                let end = start + Int(random.below(UInt32(model.count - start + 1)))
                buffer.remove(start..<end)
                model.removeSubrange(start..<end)
            default:
                if random.below(40) == 0 {
                    if random.below(2) == 0 { buffer.release() } else { buffer.clear() }
                    model = []
                }
            }
            guard buffer.count == model.count, buffer.isEmpty == model.isEmpty, Self.bytes(buffer) == model else {
                Issue.record("seed \(seed), step \(step): \(buffer.count) bytes, expected \(model.count)")
                return
            }
        }
    }

    @Test(arguments: [0, 9, 10, 99, 100, 999_999_999, 1_000_000_000, UInt64.max / 10, UInt64.max - 1, UInt64.max])
    func writesNumbers(value: UInt64) {
        var buffer = ByteBuffer()
        buffer.append(decimal: value)
        buffer.append(" ")
        buffer.append(hexadecimal: value)
        #expect(String(decoding: Self.bytes(buffer), as: UTF8.self) == "\(value) \(String(value, radix: 16))")
        var digits = [UInt8](repeating: 0, count: 20)
        let count = unsafe digits.withUnsafeMutableBufferPointer { unsafe writeDecimal(value, to: $0.baseAddress!) }
        #expect(String(decoding: digits[..<count], as: UTF8.self) == String(value))
    }

    /// A connection that stays behind by a full buffer must not copy that buffer for every byte.
    @Test func aFullQueueMovesRarely() {
        var buffer = ByteBuffer()
        unsafe [UInt8](repeating: 1, count: 64 * 1024).withUnsafeBytes { unsafe buffer.append($0) }
        var moves = 0
        var expected = unsafe UInt(bitPattern: buffer.readable.baseAddress)
        for _ in 0..<20_000 {
            buffer.consume(1)
            buffer.append(byte: 2)
            let now = unsafe UInt(bitPattern: buffer.readable.baseAddress)
            if now != expected + 1 { moves += 1 }
            expected = now
        }
        #expect(moves <= 2, "the whole buffer was copied \(moves) times for 20,000 bytes")
        #expect(buffer.capacity <= 256 * 1024)
    }

    @Test func idleBufferHoldsNoMemory() {
        var buffer = ByteBuffer()
        #expect(buffer.capacity == 0)
        buffer.append("x")
        #expect(buffer.capacity == ByteBuffer.capacityMin)
        buffer.consume(1)
        buffer.release()
        #expect(buffer.capacity == 0 && buffer.isEmpty)
    }
}
