internal import Glibc

/// The thread that made it. What one thread owns asks at its entries whether it is that thread: a lock would hide the mistake, and the
/// compiler does not see which thread a value that moves is used on.
public struct OwnerThread: Sendable {
    private let thread: pthread_t

    public init() { thread = pthread_self() }

    /// Ends the process when another thread calls. Debug builds only; nothing is left of it in a release build.
    public func check(_ owned: StaticString) {
        assert(pthread_equal(thread, pthread_self()) != 0, "\(owned) is used by a thread that does not own it")
    }
}
