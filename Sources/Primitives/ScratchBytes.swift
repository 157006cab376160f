/// Memory of one size that is written over and over, such as by each read of a loop. Owned by one thread.
@safe
public struct ScratchBytes: ~Copyable {
    /// All of it, to be written.
    @unsafe public let room: UnsafeMutableRawBufferPointer

    /// `capacity`: bytes, at least one.
    public init(capacity: Int) { unsafe room = .allocate(byteCount: max(1, capacity), alignment: 64) }

    deinit { unsafe room.deallocate() }

    /// The first `count` bytes, good until they are written again; there must be as many.
    @inlinable @inline(__always)
    public func prefix(_ count: Int) -> LentBytes {
        unsafe precondition(count >= 0 && count <= room.count, "more bytes than there are")
        return unsafe LentBytes(UnsafeRawBufferPointer(start: room.baseAddress, count: count))
    }
}
