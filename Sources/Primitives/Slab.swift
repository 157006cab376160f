/// A slab's handle to one element: stale as soon as the element is removed.
public struct SlotID: Hashable, Sendable, BitwiseCopyable {
    public var index: UInt32
    /// Odd while the slot is occupied.
    public var generation: UInt32

    @inlinable
    public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    /// No element; never resolves.
    public static let none = SlotID(index: .max, generation: 0)

    @inlinable public var isNone: Bool { generation == 0 }
}

/// Elements at stable addresses, named by generation-checked handles; the most recently freed slot is used first.
///
/// Addresses for `countMax` slots are set aside at once, so that a slot is found by one multiplication; memory comes with the slots that
/// are used (`ReservedMemory`) and is kept until the slab goes, so that a warm slab allocates nothing. Owned by one thread. `countMax`
/// bounds it: a full slab refuses.
@safe
public struct Slab<Element: ~Copyable>: ~Copyable {
    /// What stands in front of each element.
    @usableFromInline
    struct Header: BitwiseCopyable {
        /// Odd while the slot is occupied. Fresh memory is zero: a slot that was never used.
        @usableFromInline var generation: UInt32 = 0
        @usableFromInline var nextFree: UInt32 = 0
        /// The element still lives, with its memory, waiting for `reuse`.
        @usableFromInline var isParked = false
        @usableFromInline init() {}
    }

    private var memory: ReservedMemory
    /// Where `memory` begins.
    @usableFromInline let base: UnsafeMutableRawPointer
    @usableFromInline var firstFree: UInt32 = .max
    @usableFromInline var firstParked: UInt32 = .max
    @usableFromInline var used: UInt32 = 0
    public let countMax: Int
    /// Occupied slots.
    public private(set) var count = 0

    /// Slots that get memory at once, at least.
    private static var slotsPerGrowth: Int { 64 }
    /// From one slot to the next, bytes; an element stands 16 bytes behind its header.
    @inlinable static var stride: Int { 16 + (MemoryLayout<Element>.size + 15) & ~15 }

    public init(countMax: Int) {
        let count = max(0, min(countMax, Int(UInt32.max) - 1))
        self.countMax = count
        memory = ReservedMemory(bytes: Self.stride * count)
        unsafe base = unsafe memory.base
    }

    deinit {
        for index in 0..<used {
            let slot = unsafe slot(index)
            if unsafe slot.pointee.generation & 1 == 1 || slot.pointee.isParked { unsafe address(index).deinitialize(count: 1) }
        }
    }

    /// Stores `element`; nil (and the element dropped) when the slab is full.
    public mutating func insert(_ element: consuming Element) -> SlotID? {
        let index: UInt32
        if firstFree != .max {
            index = firstFree
            unsafe firstFree = slot(index).pointee.nextFree
        } else {
            guard Int(used) < countMax else { return nil }
            index = used
            memory.grow(to: (Int(index) + 1) * Self.stride, by: Self.slotsPerGrowth * Self.stride)
            used += 1
        }
        let slot = unsafe slot(index)
        // Wraps on purpose: a handle would have to survive 2^31 reuses of its slot to be mistaken. Odd = occupied, so never 0.
        unsafe slot.pointee.generation &+= 1
        unsafe address(index).initialize(to: element)
        count += 1
        return unsafe SlotID(index: index, generation: slot.pointee.generation)
    }

    /// The element's address, or nil when the handle is stale. Valid until the element is removed.
    @unsafe @inlinable @inline(__always)
    public func pointer(_ id: SlotID) -> UnsafeMutablePointer<Element>? {
        unsafe contains(id) ? address(id.index) : nil
    }

    /// Whether the handle still names an element. Generations of handles are odd, those of free slots are not.
    @inlinable @inline(__always)
    public func contains(_ id: SlotID) -> Bool {
        unsafe id.index < used && slot(id.index).pointee.generation == id.generation
    }

    /// The element in its place. A stale handle ends the process: whoever may hold one asks `contains` first.
    @inlinable
    public subscript(id: SlotID) -> Element {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(reference(id)) }
        @inline(__always) unsafeMutableAddress { unsafe reference(id) }
    }

    @inlinable @inline(__always)
    func reference(_ id: SlotID) -> UnsafeMutablePointer<Element> {
        guard let address = unsafe pointer(id) else { preconditionFailure("the handle is stale: its element has gone") }
        return unsafe address
    }

    /// The elements at both handles of an element that is being parked: it is stale, and still in its place.
    @inlinable
    public subscript(retired id: SlotID) -> Element {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(retiredReference(id)) }
        @inline(__always) unsafeMutableAddress { unsafe retiredReference(id) }
    }

    @inlinable @inline(__always)
    func retiredReference(_ id: SlotID) -> UnsafeMutablePointer<Element> {
        unsafe precondition(id.index < used && slot(id.index).pointee.generation == id.generation &+ 1, "the element was not retired")
        return unsafe address(id.index)
    }

    /// Removes the element; false when the handle was stale.
    @discardableResult
    public mutating func remove(_ id: SlotID) -> Bool {
        guard let element = unsafe pointer(id) else { return false }
        unsafe element.deinitialize(count: 1)
        let slot = unsafe slot(id.index)
        unsafe slot.pointee.generation &+= 1
        unsafe slot.pointee.nextFree = firstFree
        firstFree = id.index
        count -= 1
        return true
    }

    /// Makes the handle stale but keeps the element, so that `reuse` finds its buffers warm. False when the handle was stale.
    @discardableResult
    public mutating func park(_ id: SlotID) -> Bool {
        guard retire(id) else { return false }
        park(retired: id)
        return true
    }

    /// The first half of parking: the handle is stale from here on, while pointers to the element are good until `park(retired:)`.
    @discardableResult
    public mutating func retire(_ id: SlotID) -> Bool {
        guard unsafe pointer(id) != nil else { return false }
        let slot = unsafe slot(id.index)
        unsafe slot.pointee.generation &+= 1
        unsafe slot.pointee.isParked = true
        count -= 1
        return true
    }

    /// The second half, once for each handle that `retire` made stale.
    public mutating func park(retired id: SlotID) {
        let slot = unsafe slot(id.index)
        assert(unsafe slot.pointee.isParked && slot.pointee.generation == id.generation &+ 1, "parked without being retired, or twice")
        unsafe slot.pointee.nextFree = firstParked
        firstParked = id.index
    }

    /// A parked element under a new handle, most recently parked first; nil when none is parked.
    public mutating func reuse() -> SlotID? {
        guard firstParked != .max else { return nil }
        let index = firstParked
        let slot = unsafe slot(index)
        unsafe firstParked = slot.pointee.nextFree
        unsafe slot.pointee.isParked = false
        unsafe slot.pointee.generation &+= 1
        count += 1
        return unsafe SlotID(index: index, generation: slot.pointee.generation)
    }

    /// Handles of all elements, for shutdown and reload; costs one pass and one array.
    public func identifiers() -> [SlotID] {
        (0..<used).compactMap { index in
            let generation = unsafe slot(index).pointee.generation
            return generation & 1 == 1 ? SlotID(index: index, generation: generation) : nil
        }
    }

    @unsafe @inlinable @inline(__always)
    func slot(_ index: UInt32) -> UnsafeMutablePointer<Header> {
        unsafe (base + Int(index) &* Self.stride).assumingMemoryBound(to: Header.self)
    }

    @unsafe @inlinable @inline(__always)
    func address(_ index: UInt32) -> UnsafeMutablePointer<Element> {
        unsafe (UnsafeMutableRawPointer(slot(index)) + 16).assumingMemoryBound(to: Element.self)
    }
}
