internal import CNGHTTP2
internal import Glibc

/// Memory for what nghttp2 allocates for each stream and frame: pieces that were given back are given out again, so that a warm worker
/// asks the system for none. Confined to the thread of its sessions, and outlives them.
@safe
struct HTTP2Memory: ~Copyable {
    /// Pieces of one class differ in size by less than this, bytes.
    private static let stepBytes = 64
    /// Larger ones come from the system each time.
    private static let classBytesMax = 2048
    /// Bytes of pieces that are kept for later.
    static let keptBytesMax = 256 * 1024
    /// In front of each piece stands its class; 0 = the system's. As wide as malloc's alignment.
    private static let headerBytes = 16

    /// The first free piece of each class; each holds the next one's address. Index = size in steps, rounded up.
    private var free = unsafe InlineArray<33, UnsafeMutableRawPointer?>(repeating: nil)
    private var keptBytes = 0

    deinit {
        for index in unsafe 1..<free.count {
            var piece = unsafe free[index]
            while let this = unsafe piece {
                unsafe piece = unsafe this.load(as: UnsafeMutableRawPointer?.self)
                unsafe Glibc.free(this - Self.headerBytes)
            }
        }
    }

    /// Nil when there is none.
    mutating func take(_ bytes: Int) -> UnsafeMutableRawPointer? {
        guard bytes <= Self.classBytesMax else { return unsafe Self.fresh(bytes, 0) }
        let index = max(1, (bytes + Self.stepBytes - 1) / Self.stepBytes)
        guard let piece = unsafe free[index] else { return unsafe Self.fresh(index * Self.stepBytes, index) }
        unsafe free[index] = unsafe piece.load(as: UnsafeMutableRawPointer?.self)
        keptBytes -= index * Self.stepBytes
        return unsafe piece
    }

    mutating func give(_ piece: UnsafeMutableRawPointer) {
        let index = unsafe Self.sizeClass(of: piece)
        guard index > 0, keptBytes < Self.keptBytesMax else { return unsafe Glibc.free(piece - Self.headerBytes) }
        unsafe piece.storeBytes(of: free[index], as: UnsafeMutableRawPointer?.self)
        unsafe free[index] = unsafe piece
        keptBytes += index * Self.stepBytes
    }

    /// As C's realloc.
    mutating func resize(_ piece: UnsafeMutableRawPointer?, to bytes: Int) -> UnsafeMutableRawPointer? {
        guard let piece = unsafe piece else { return unsafe take(bytes) }
        let index = unsafe Self.sizeClass(of: piece)
        if index == 0, bytes > Self.classBytesMax {
            let moved = unsafe realloc(piece - Self.headerBytes, bytes + Self.headerBytes)
            return unsafe moved.map { unsafe $0 + Self.headerBytes }
        }
        let room = index * Self.stepBytes
        if index > 0, bytes <= room { return unsafe piece }
        guard let grown = unsafe take(bytes) else { return nil }
        // One of the system's is larger than what it shrinks to.
        unsafe grown.copyMemory(from: piece, byteCount: index > 0 ? room : bytes)
        unsafe give(piece)
        return unsafe grown
    }

    private static func fresh(_ bytes: Int, _ index: Int) -> UnsafeMutableRawPointer? {
        guard bytes < Int.max - headerBytes, let start = unsafe malloc(bytes + headerBytes) else { return nil }
        unsafe start.storeBytes(of: index, as: Int.self)
        return unsafe start + headerBytes
    }

    private static func sizeClass(of piece: UnsafeMutableRawPointer) -> Int { unsafe (piece - headerBytes).load(as: Int.self) }

    /// The functions that nghttp2 is given (nghttp2.h, `nghttp2_mem`).
    static func functions(_ memory: UnsafeMutablePointer<HTTP2Memory>) -> nghttp2_mem {
        unsafe nghttp2_mem(
            mem_user_data: memory,
            malloc: { bytes, memory in unsafe HTTP2Memory.of(memory).pointee.take(bytes) },
            free: { piece, memory in if let piece = unsafe piece { unsafe HTTP2Memory.of(memory).pointee.give(piece) } },
            calloc: { count, bytes, memory in
                let (total, isTooMuch) = count.multipliedReportingOverflow(by: bytes)
                guard !isTooMuch, let piece = unsafe HTTP2Memory.of(memory).pointee.take(total) else { return nil }
                return unsafe memset(piece, 0, total)
            },
            realloc: { piece, bytes, memory in unsafe HTTP2Memory.of(memory).pointee.resize(piece, to: bytes) })
    }

    private static func of(_ memory: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<HTTP2Memory> {
        unsafe memory.unsafelyUnwrapped.assumingMemoryBound(to: HTTP2Memory.self)
    }
}
