import Glibc
import Primitives
import Testing

@testable import HTTP

/// nghttp2's memory: a piece given out twice would mix the heads of two clients.
@Suite struct HTTP2MemoryTests {
    /// Random calls against a model that knows what each piece holds.
    @Test func piecesKeepTheirBytes() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var draw = RandomSource(seed: seed)
        var memory = HTTP2Memory()
        var pieces: [(address: UnsafeMutableRawPointer, bytes: Int, mark: UInt8)] = unsafe []
        func mark(_ piece: UnsafeMutableRawPointer, _ bytes: Int, _ value: UInt8) { unsafe memset(piece, Int32(value), bytes) }
        func isMarked(_ piece: UnsafeMutableRawPointer, _ bytes: Int, _ value: UInt8) -> Bool {
            unsafe UnsafeRawBufferPointer(start: piece, count: bytes).allSatisfy { $0 == value }
        }
        for _ in 0..<20_000 {
            let bytes = Int(draw.next() % (draw.next() % 8 == 0 ? 5000 : 300))
            let value = UInt8(truncatingIfNeeded: draw.next())
            switch draw.next() % 3 {
            case 0:
                let piece = unsafe try #require(memory.take(bytes))
                unsafe mark(piece, bytes, value)
                unsafe pieces.append((piece, bytes, value))
            case 1 where unsafe !pieces.isEmpty:
                let index = unsafe Int(draw.next() % UInt64(pieces.count))
                let old = unsafe pieces[index]
                let piece = unsafe try #require(memory.resize(old.address, to: bytes))
                unsafe #expect(isMarked(piece, min(bytes, old.bytes), old.mark), "seed \(seed)")
                unsafe mark(piece, bytes, value)
                unsafe pieces[index] = unsafe (piece, bytes, value)
            case 2 where unsafe !pieces.isEmpty:
                let old = unsafe pieces.remove(at: Int(draw.next() % UInt64(pieces.count)))
                unsafe #expect(isMarked(old.address, old.bytes, old.mark), "seed \(seed)")
                unsafe memory.give(old.address)
            default: break
            }
        }
        for unsafe piece in unsafe pieces {
            unsafe #expect(isMarked(piece.address, piece.bytes, piece.mark), "seed \(seed)")
            unsafe memory.give(piece.address)
        }
    }

    @Test func aPieceThatCameBackIsGivenOutAgain() throws {
        var memory = HTTP2Memory()
        let piece = unsafe try #require(memory.take(100))
        unsafe memory.give(piece)
        unsafe #expect(memory.take(120) == piece)
        unsafe memory.give(piece)
        unsafe #expect(memory.take(2000) != piece)
    }

    @Test func sizesBeyondAllMemoryAreRefused() {
        var memory = HTTP2Memory()
        unsafe #expect(memory.take(Int.max) == nil)
        unsafe #expect(memory.take(Int.max - 16) == nil)
    }
}
