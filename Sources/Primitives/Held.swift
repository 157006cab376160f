/// An object that somebody else holds for longer than this is used, so that asking it counts no reference.
///
/// For objects of a thread's whole life on a path where two atomic operations for each call are too many. Whoever makes one keeps the
/// object.
@safe @frozen
public struct Held<Object: AnyObject & Sendable>: Sendable {
    @usableFromInline let object: Unmanaged<Object>

    /// The caller keeps a reference to `object` of its own until this is used no more.
    @inlinable
    public init(keptByCaller object: Object) { unsafe self.object = Unmanaged.passUnretained(object) }

    @inlinable @inline(__always)
    public func use<Result>(_ body: (Object) -> Result) -> Result { unsafe object._withUnsafeGuaranteedRef(body) }
}
