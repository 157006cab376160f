/// A growing array of plain values for encoders: appends without Array's uniqueness and bounds checks, owns its memory.
///
/// Reading outside it traps, as with Array; confined to one thread.
@safe
struct RawBuffer<Element: BitwiseCopyable>: ~Copyable {
    private var base: UnsafeMutablePointer<Element>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int = 16) {
        self.capacity = max(capacity, 4)
        unsafe base = UnsafeMutablePointer<Element>.allocate(capacity: max(capacity, 4))
    }

    deinit { unsafe base.deallocate() }

    var isEmpty: Bool { count == 0 }

    @inline(__always)
    mutating func append(_ value: Element) {
        if count == capacity { grow(1) }
        unsafe (base + count).initialize(to: value)
        count &+= 1
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) where Element == UInt8 {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        if capacity - count < bytes.count { grow(bytes.count) }
        unsafe UnsafeMutableRawPointer(base + count).copyMemory(from: source, byteCount: bytes.count)
        count &+= bytes.count
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        let wanted = max(capacity * 2, count + more)
        let moved = UnsafeMutablePointer<Element>.allocate(capacity: wanted)
        unsafe moved.update(from: base, count: count)
        unsafe base.deallocate()
        unsafe base = moved
        capacity = wanted
    }

    @inline(__always)
    subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count)
            return unsafe base[index]
        }
        set {
            precondition(index >= 0 && index < count)
            unsafe base[index] = newValue
        }
    }

    mutating func removeAll() { count = 0 }

    /// Forgets everything from `count` on.
    @inline(__always)
    mutating func truncate(to newCount: Int) {
        precondition(newCount >= 0 && newCount <= count)
        count = newCount
    }

    /// Forgets everything and gives back memory that an unusual load had asked for.
    mutating func removeAll(keepingAtMost limit: Int) {
        count = 0
        guard capacity > limit else { return }
        unsafe base.deallocate()
        capacity = max(limit, 4)
        unsafe base = UnsafeMutablePointer<Element>.allocate(capacity: capacity)
    }

    /// `count` copies of `value` instead of what was here.
    mutating func fill(_ value: Element, count newCount: Int) {
        count = 0
        if capacity < newCount { grow(newCount) }
        unsafe base.initialize(repeating: value, count: newCount)
        count = newCount
    }

    /// The elements; valid only inside `body`.
    @inline(__always)
    func withElements<Result>(_ body: (UnsafeBufferPointer<Element>) -> Result) -> Result {
        unsafe body(UnsafeBufferPointer(start: base, count: count))
    }

    func array() -> [Element] { unsafe withElements { unsafe Array($0) } }
}
