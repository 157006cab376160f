import Glibc

/// A lock with one condition: what the queue between callers and the store's two threads needs, and Mutex lacks.
///
/// `@unchecked Sendable`: the value is touched only inside `withLock` and `wait`, under the lock.
@safe
final class Monitor<Value>: @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var value: Value

    init(_ value: Value) {
        self.value = value
        unsafe lock = .allocate(capacity: 1)
        unsafe condition = .allocate(capacity: 1)
        unsafe lock.initialize(to: pthread_mutex_t())
        unsafe condition.initialize(to: pthread_cond_t())
        precondition(unsafe pthread_mutex_init(lock, nil) == 0 && pthread_cond_init(condition, nil) == 0)
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(lock)
        unsafe condition.deallocate()
        unsafe lock.deallocate()
    }

    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        return body(&value)
    }

    /// Changes the value and wakes every waiter.
    func notify<Result>(_ body: (inout Value) -> Result) -> Result {
        unsafe pthread_mutex_lock(lock)
        defer {
            unsafe pthread_cond_broadcast(condition)
            unsafe pthread_mutex_unlock(lock)
        }
        return body(&value)
    }

    /// Waits until `body` returns a result, at most `milliseconds` (nil = for ever); `body` runs under the lock, once per wake-up.
    func wait<Result>(milliseconds: Int? = nil, until body: (inout Value) -> Result?) -> Result? {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        var deadline = timespec()
        if let milliseconds {
            unsafe clock_gettime(CLOCK_REALTIME, &deadline)
            deadline.tv_sec += milliseconds / 1000
            deadline.tv_nsec += (milliseconds % 1000) * 1_000_000
            if deadline.tv_nsec >= 1_000_000_000 {
                deadline.tv_nsec -= 1_000_000_000
                deadline.tv_sec += 1
            }
        }
        while true {
            if let result = body(&value) { return result }
            if milliseconds != nil {
                if unsafe pthread_cond_timedwait(condition, lock, &deadline) != 0 { return body(&value) }
            } else {
                unsafe pthread_cond_wait(condition, lock)
            }
        }
    }
}

/// A named thread of the store's own: nothing here runs on Swift's cooperative pool, because everything here blocks.
@safe
final class StoreThread: Sendable {
    private let thread: pthread_t

    private final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    init(_ body: @escaping @Sendable () -> Void) throws(StoreError) {
        var created = pthread_t()
        let start = unsafe Unmanaged.passRetained(Start(body))
        let code = unsafe pthread_create(&created, nil, { argument in
            guard let argument = unsafe argument else { return nil }
            unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, start.toOpaque())
        guard code == 0 else {
            unsafe start.release()
            throw .sqlite(code: code, message: "pthread_create", operation: "starting a store thread")
        }
        thread = created
    }

    /// Waits for the end of the thread; call once.
    func join() { _ = pthread_join(thread, nil) }
}
