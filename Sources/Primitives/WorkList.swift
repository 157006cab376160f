/// A list that is filled and worked off again and again: emptying it costs nothing, and its memory stays. Owned by one thread.
@safe
public struct WorkList<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline var base: UnsafeMutablePointer<Element>
    @usableFromInline var capacity: Int
    @usableFromInline var used = 0
    @inlinable public var count: Int { used }

    public init(capacity: Int = 64) {
        self.capacity = max(1, capacity)
        unsafe base = .allocate(capacity: self.capacity)
    }

    deinit { unsafe base.deallocate() }

    @inlinable public var isEmpty: Bool { count == 0 }

    @inlinable @inline(__always)
    public mutating func append(_ element: Element) {
        if used == capacity { grow() }
        unsafe (base + used).initialize(to: element)
        used += 1
    }

    /// A wrong index ends the process.
    @inlinable
    public subscript(index: Int) -> Element {
        @inline(__always) get {
            precondition(index >= 0 && index < count, "no such element")
            return unsafe base[index]
        }
        @inline(__always) set {
            precondition(index >= 0 && index < count, "no such element")
            unsafe base[index] = newValue
        }
    }

    @inlinable public var last: Element? { count == 0 ? nil : self[count - 1] }

    @inlinable
    public mutating func popLast() -> Element? {
        guard count > 0 else { return nil }
        used -= 1
        return unsafe base[used]
    }

    /// Empties the list; memory for more than `capacityMax` elements is given back.
    @inlinable @inline(__always)
    public mutating func removeAll(keeping capacityMax: Int = .max) {
        used = 0
        if capacity > capacityMax { shrink(to: capacityMax) }
    }

    /// A copy, for tests.
    public var elements: [Element] { (0..<count).map { self[$0] } }

    @usableFromInline @inline(never)
    mutating func grow() { move(to: capacity * 2) }

    @usableFromInline @inline(never)
    mutating func shrink(to capacityMax: Int) { move(to: max(1, capacityMax)) }

    private mutating func move(to room: Int) {
        let fresh = UnsafeMutablePointer<Element>.allocate(capacity: room)
        unsafe fresh.update(from: base, count: min(count, room))
        unsafe base.deallocate()
        unsafe base = unsafe fresh
        capacity = room
    }
}
