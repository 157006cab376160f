/// A value that most of its owners never have: a pointer until it is made, then a place on the heap for as long as the owner lives.
///
/// For what is large and rare in something that there are many of.
@safe @frozen
public struct OnDemand<Value: ~Copyable>: ~Copyable {
    @usableFromInline var place: UnsafeMutablePointer<Value>?

    @inlinable
    public init() { unsafe place = nil }

    deinit {
        unsafe place?.deinitialize(count: 1)
        unsafe place?.deallocate()
    }

    @inlinable public var isMade: Bool { unsafe place != nil }

    /// Makes the value where there is none. Allocates then.
    public mutating func make(_ value: () -> Value) {
        guard unsafe place == nil else { return }
        unsafe place = .allocate(capacity: 1)
        unsafe place?.initialize(to: value())
    }

    /// The value in its place. Without one the process ends: whoever cannot know asks `isMade`, or makes it.
    @inlinable
    public var value: Value {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(made()) }
        @inline(__always) unsafeMutableAddress { unsafe made() }
    }

    @inlinable @inline(__always)
    func made() -> UnsafeMutablePointer<Value> {
        guard let place = unsafe place else { preconditionFailure("the value was not made") }
        return unsafe place
    }
}
