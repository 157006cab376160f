public import Synchronization

/// A bounded ring of variable-length byte records between exactly one producer thread and one consumer thread.
///
/// An entry is an 8-byte header (payload length) and its payload, padded to 8 bytes, always in one piece: an entry that would wrap
/// leaves a skip marker at the end instead. A full ring refuses the entry; the producer counts that as a drop (invariant 1 of
/// docs/architecture.md: requests never wait for telemetry).
///
/// `@unchecked Sendable`: `head` and `releasedSeen` are touched by the producer only, `released` is stored by the consumer only, and the
/// atomics order the bytes between them (release on publish, acquire on read).
@safe
public final class RecordRing: @unchecked Sendable {
    private let base: UnsafeMutableRawPointer
    /// A power of two, bytes.
    public let capacity: Int
    private let published = Atomic<Int>(0)
    private let released = Atomic<Int>(0)
    /// Producer's own copies, so that a record costs no atomic read while there is room.
    private var head = 0
    private var releasedSeen = 0
    /// Records refused because the ring was full. Written by the producer only.
    public let dropped = Atomic<UInt64>(0)

    private static let skip = UInt64.max

    /// `capacity` is rounded up to a power of two of at least 4 KiB.
    public init(capacity: Int) {
        var size = 4096
        while size < capacity { size *= 2 }
        self.capacity = size
        unsafe base = .allocate(byteCount: size, alignment: 64)
    }

    deinit { unsafe base.deallocate() }

    /// Producer: room for a payload of at most `count` bytes, or nil (counted) when the ring is full. Follow with `publish`.
    @unsafe
    public func reserve(_ count: Int) -> UnsafeMutableRawPointer? {
        let needed = 8 + (count + 7) & ~7
        let offset = head & (capacity - 1)
        let untilEnd = capacity - offset
        let total = untilEnd >= needed ? needed : untilEnd + needed
        if capacity - (head - releasedSeen) < total {
            releasedSeen = released.load(ordering: .acquiring)
            guard total <= capacity, capacity - (head - releasedSeen) >= total else {
                dropped.store(dropped.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
                return nil
            }
        }
        if untilEnd < needed {
            unsafe (base + offset).storeBytes(of: Self.skip, as: UInt64.self)
            head += untilEnd
        }
        return unsafe base + (head & (capacity - 1)) + 8
    }

    /// Producer: makes the entry that `reserve` gave visible; `count` is what was really written.
    public func publish(_ count: Int) {
        unsafe (base + (head & (capacity - 1))).storeBytes(of: UInt64(count), as: UInt64.self)
        head += 8 + (count + 7) & ~7
        published.store(head, ordering: .releasing)
    }

    /// Consumer: hands over each waiting entry, up to `limit`, then releases them all at once. Returns how many there were.
    public func drain(limit: Int, _ body: (UnsafeRawBufferPointer) -> Void) -> Int {
        var tail = released.load(ordering: .relaxed)
        let end = published.load(ordering: .acquiring)
        var count = 0
        while tail < end, count < limit {
            let offset = tail & (capacity - 1)
            let length = unsafe (base + offset).load(as: UInt64.self)
            if length == Self.skip {
                tail += capacity - offset
                continue
            }
            unsafe body(UnsafeRawBufferPointer(start: base + offset + 8, count: Int(length)))
            tail += 8 + (Int(length) + 7) & ~7
            count += 1
        }
        released.store(tail, ordering: .releasing)
        return count
    }

    /// Bytes waiting, seen from any thread; a moment's value.
    public var bytesWaiting: Int {
        published.load(ordering: .relaxed) - released.load(ordering: .relaxed)
    }
}
