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
/// Memory comes in pages of `pageSize` slots and is kept until the slab goes, so that a warm slab allocates nothing. Owned by one
/// thread. `countMax` bounds it: a full slab refuses.
@safe
public struct Slab<Element: ~Copyable>: ~Copyable {
    @usableFromInline
    struct Slot: ~Copyable {
        @usableFromInline var generation: UInt32 = 0
        @usableFromInline var nextFree: UInt32 = .max
        /// The element still lives, with its memory, waiting for `reuse`.
        @usableFromInline var isParked = false
        @usableFromInline init() {}
    }

    @usableFromInline var pages: [UnsafeMutablePointer<Element>] = unsafe []
    @usableFromInline var slotPages: [UnsafeMutablePointer<Slot>] = unsafe []
    @usableFromInline var firstFree: UInt32 = .max
    @usableFromInline var firstParked: UInt32 = .max
    @usableFromInline var used: UInt32 = 0
    public let countMax: Int
    /// Occupied slots.
    public private(set) var count = 0

    /// Slots in one page; a power of two.
    @inlinable static var pageShift: UInt32 { 6 }
    @inlinable static var pageSize: Int { 1 << Int(pageShift) }

    public init(countMax: Int) {
        self.countMax = min(countMax, Int(UInt32.max) - 1)
    }

    deinit {
        for index in 0..<Int(used) {
            let slot = unsafe slotPages[index >> Int(Self.pageShift)] + (index & (Self.pageSize - 1))
            if unsafe slot.pointee.generation & 1 == 1 || slot.pointee.isParked {
                unsafe (pages[index >> Int(Self.pageShift)] + (index & (Self.pageSize - 1))).deinitialize(count: 1)
            }
        }
        for unsafe page in unsafe pages { unsafe page.deallocate() }
        for unsafe page in unsafe slotPages { unsafe page.deallocate() }
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
            if unsafe Int(index) >> Int(Self.pageShift) == pages.count {
                unsafe pages.append(.allocate(capacity: Self.pageSize))
                let slots = UnsafeMutablePointer<Slot>.allocate(capacity: Self.pageSize)
                for offset in 0..<Self.pageSize { unsafe (slots + offset).initialize(to: Slot()) }
                unsafe slotPages.append(slots)
            }
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
    @unsafe @inlinable
    public func pointer(_ id: SlotID) -> UnsafeMutablePointer<Element>? {
        guard id.index < used, unsafe slot(id.index).pointee.generation == id.generation, id.generation & 1 == 1 else { return nil }
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

    @unsafe @inlinable
    func slot(_ index: UInt32) -> UnsafeMutablePointer<Slot> {
        unsafe slotPages[Int(index &>> Self.pageShift)] + (Int(index) & (Self.pageSize - 1))
    }

    @unsafe @inlinable
    func address(_ index: UInt32) -> UnsafeMutablePointer<Element> {
        unsafe pages[Int(index &>> Self.pageShift)] + (Int(index) & (Self.pageSize - 1))
    }
}
