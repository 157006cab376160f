public import Primitives

/// Parts of a head as lent bytes: good until the head is edited, and of one that is not kept as long as the bytes that it was parsed from.
extension MessageHead {
    @inlinable @inline(__always)
    public func bytes(_ place: Range<Int>) -> LentBytes { unsafe LentBytes(slice(place.lowerBound, place.upperBound &- place.lowerBound)) }

    /// The first value of a known field, without surrounding white space.
    @inlinable @inline(__always)
    public func bytes(of name: HeaderName) -> LentBytes? {
        guard let index = index(of: name) else { return nil }
        return bytes(at: index)
    }

    /// A field's value.
    @inlinable @inline(__always)
    public func bytes(at index: Int) -> LentBytes { unsafe LentBytes(value(at: index)) }

    /// The first value of the field called `name`, in any case, searched linearly.
    public func bytes(named name: LentBytes) -> LentBytes? { unsafe value(named: name.buffer).map { unsafe LentBytes($0) } }

    public func bytes(named name: StaticString) -> LentBytes? { bytes(named: LentBytes(name)) }

    /// A field's name.
    @inlinable @inline(__always)
    public func nameBytes(at index: Int) -> LentBytes { unsafe LentBytes(name(at: index)) }

    /// Request only.
    public var methodBytes: LentBytes { unsafe LentBytes(method) }

    /// What is known of the field at `index`.
    @inlinable @inline(__always)
    public func fieldName(at index: Int) -> HeaderName { unsafe field(index).name }

    /// Where bytes that a caller found in this head stand in its text.
    public func place(of bytes: LentBytes) -> Range<Int> { unsafe place(of: bytes.buffer) }

    /// Adds a field behind the others. False when there is no room for another.
    @discardableResult
    public mutating func add(_ name: LentBytes, _ value: LentBytes) -> Bool { unsafe add(name.buffer, value.buffer) }
}

extension Authority {
    /// As `parse` of a pointer.
    public static func parse(_ bytes: LentBytes) -> Authority? { unsafe parse(bytes.buffer) }
}

extension HeaderName {
    public static func isLookalike(_ name: LentBytes) -> Bool { unsafe isLookalike(name.buffer) }
}

extension HeadParser {
    /// As `forEachListItem` of a pointer.
    public static func forEachListItem(_ value: LentBytes, _ body: (LentBytes) -> Void) {
        unsafe forEachListItem(value.buffer) { unsafe body(LentBytes($0)) }
    }
}
