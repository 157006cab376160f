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

    /// Whether the field at `index` is called `name`, in any case.
    @inlinable @inline(__always)
    public func isNamed(_ name: LentBytes, at index: Int) -> Bool {
        // A count that is cut differs from every name that there is.
        unsafe Int(field(index).nameCount) == name.count && nameBytes(at: index).equalsIgnoringCase(name)
    }

    public func isNamed(_ name: StaticString, at index: Int) -> Bool { isNamed(LentBytes(name), at: index) }

    /// Request only.
    public var methodBytes: LentBytes { unsafe LentBytes(method) }

    /// Request only: the target exactly as sent.
    public var targetBytes: LentBytes { unsafe LentBytes(target) }

    /// What is known of the field at `index`.
    @inlinable @inline(__always)
    public func fieldName(at index: Int) -> HeaderName { unsafe field(index).name }

    /// The name has an underscore; of names that are none of `HeaderName`'s own.
    @inlinable @inline(__always)
    public func hasUnderscore(at index: Int) -> Bool { unsafe field(index).hasUnderscore }

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

extension RequestTarget {
    /// As `parse` of pointers.
    public static func parse(_ target: LentBytes, method: LentBytes) -> RequestTarget? {
        unsafe parse(target.buffer, method: method.buffer)
    }
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
