/// `count` entries from `start` of some `Table`.
@frozen
public struct TableRange: Sendable, BitwiseCopyable {
    public var start: UInt32 = 0
    public var count: UInt32 = 0

    @inlinable
    public init(start: UInt32 = 0, count: UInt32 = 0) {
        self.start = start
        self.count = count
    }

    @inlinable public var indices: Range<Int> { Int(start)..<Int(start) + Int(count) }
    @inlinable public var isEmpty: Bool { count == 0 }
}

/// Entries of one kind that never change: a pointer and a count, so that reading one counts no reference and a copy is two words.
///
/// Built once from an array by a `TableArena`, which owns the memory: a table is good as long as its arena. Whoever hands out a table, or a
/// type with one inside, keeps the arena for as long. Every index is checked against `count`; one outside of it is our bug and ends the
/// process.
@safe @frozen
public struct Table<Element: BitwiseCopyable>: BitwiseCopyable {
    @usableFromInline let base: UnsafePointer<Element>
    /// Number of entries.
    public let count: Int

    /// No entries.
    public init() {
        unsafe base = UnsafePointer(bitPattern: MemoryLayout<Element>.alignment).unsafelyUnwrapped  // Never read: the count is zero.
        count = 0
    }

    @unsafe @usableFromInline
    init(_ base: UnsafePointer<Element>, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    /// The entry at 0 ..< `count`, read in place: asking for one field of a large entry reads that field only.
    @inlinable
    public subscript(index: Int) -> Element {
        @inline(__always)
        unsafeAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "an index outside of its table")
            return unsafe base + index
        }
    }

    @inlinable
    public subscript(index: UInt32) -> Element {
        @inline(__always)
        unsafeAddress {
            precondition(UInt(index) < UInt(bitPattern: count), "an index outside of its table")
            return unsafe base + Int(index)
        }
    }

    /// The place of an entry that is looked at more than once: its index is checked here and no more.
    @inlinable @inline(__always)
    public func slot(_ index: Int) -> TableSlot<Element> {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "an index outside of its table")
        return unsafe TableSlot(base + index)
    }

    /// The entries of a range, as long as the arena lives. The whole range must lie within the table.
    @unsafe @inlinable
    public func buffer(_ range: TableRange) -> UnsafeBufferPointer<Element> {
        precondition(Int(range.start) + Int(range.count) <= count, "a range outside of its table")
        return unsafe UnsafeBufferPointer(start: base + Int(range.start), count: Int(range.count))
    }

    /// The first place of a range from which on the condition holds; the range's end when it holds nowhere. The condition must not hold and
    /// then not.
    /// Costs a look at the logarithm of the range's length.
    @inlinable
    public func firstIndex(_ range: TableRange, _ holds: (Element) -> Bool) -> Int {
        var low = range.indices.lowerBound
        var high = range.indices.upperBound
        while low < high {
            let middle = low + (high - low) / 2
            if holds(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension Table where Element == UInt8 {
    /// The bytes of a range, as long as the arena lives.
    @inlinable @inline(__always)
    public func bytes(_ range: TableRange) -> LentBytes { unsafe LentBytes(UnsafeRawBufferPointer(buffer(range))) }
}

/// One entry of a table, where it stands; good as long as the table.
@safe @frozen
public struct TableSlot<Element: BitwiseCopyable>: BitwiseCopyable {
    @usableFromInline let address: UnsafePointer<Element>

    @unsafe @usableFromInline
    init(_ address: UnsafePointer<Element>) { unsafe self.address = address }

    /// Read in place.
    @inlinable
    public var entry: Element {
        @inline(__always)
        unsafeAddress { unsafe address }
    }
}

/// The memory of tables. Owned by whoever owns what the tables say; freed with it.
///
/// Not thread-safe while tables are made; afterwards nobody writes.
@safe
public struct TableArena: ~Copyable {
    private var allocations: [UnsafeMutableRawPointer] = unsafe []

    public init() {}

    deinit { for unsafe allocation in unsafe allocations { unsafe allocation.deallocate() } }

    /// Copies the entries into a table.
    public mutating func table<Element: BitwiseCopyable>(_ items: [Element]) -> Table<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(1, items.count))
        unsafe memory.initialize(from: items, count: items.count)
        unsafe allocations.append(UnsafeMutableRawPointer(memory))
        return unsafe Table(UnsafePointer(memory), count: items.count)
    }

    /// Puts one value at an address of its own; good as long as the arena.
    @unsafe
    public mutating func place<Value: BitwiseCopyable>(_ value: Value) -> UnsafePointer<Value> { unsafe table([value]).base }
}

/// A table that is being written. Off the request path.
public struct GrowingTable<Element: BitwiseCopyable> {
    public private(set) var items: [Element]

    public init(_ items: [Element] = []) { self.items = items }

    public var count: Int { items.count }

    public subscript(index: Int) -> Element {
        get { items[index] }
        set { items[index] = newValue }
    }

    /// The index of the new entry.
    @discardableResult
    public mutating func add(_ item: Element) -> UInt32 {
        items.append(item)
        return UInt32(clamping: items.count - 1)
    }

    /// The place of the new entries.
    @discardableResult
    public mutating func add(contentsOf new: some Sequence<Element>) -> TableRange {
        let start = items.count
        items.append(contentsOf: new)
        return range(from: start)
    }

    /// Everything from a place on.
    public func range(from start: Int) -> TableRange {
        TableRange(start: UInt32(clamping: start), count: UInt32(clamping: items.count - start))
    }
}

extension GrowingTable where Element == UInt8 {
    public mutating func add(text: String) -> TableRange { add(contentsOf: text.utf8) }

    /// The bytes of a range, as long as `body` runs.
    public func withBytes<Result>(_ range: TableRange, _ body: (LentBytes) -> Result) -> Result {
        unsafe items[range.indices].withUnsafeBytes { bytes in unsafe body(LentBytes(bytes)) }
    }
}
