import Glibc

/// Who waits on a monitor. To wake a thread that then finds nothing to do costs more than storing several spans.
struct Waiters: OptionSet {
    let rawValue: Int

    static let writer = Waiters(rawValue: 1)
    static let maintenance = Waiters(rawValue: 2)
    /// Threads of others, inside `append`, `flush` and the like.
    static let callers = Waiters(rawValue: 4)
    static let all: Waiters = [.writer, .maintenance, .callers]

    static let count = 3
}

/// A lock with a condition for each kind of waiter: what the queue between callers and the store's two threads needs, and Mutex lacks.
///
/// `@unchecked Sendable`: the value is touched only inside `withLock` and `wait`, under the lock.
@safe
final class Monitor<Value>: @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    /// One for each of `Waiters`, in order of their bits.
    private let conditions: UnsafeMutablePointer<pthread_cond_t>
    private var value: Value

    init(_ value: Value) {
        self.value = value
        unsafe lock = .allocate(capacity: 1)
        unsafe conditions = .allocate(capacity: Waiters.count)
        unsafe lock.initialize(to: pthread_mutex_t())
        precondition(unsafe pthread_mutex_init(lock, nil) == 0)
        for index in 0..<Waiters.count {
            unsafe (conditions + index).initialize(to: pthread_cond_t())
            precondition(unsafe pthread_cond_init(conditions + index, nil) == 0)
        }
    }

    deinit {
        for index in 0..<Waiters.count { unsafe pthread_cond_destroy(conditions + index) }
        unsafe pthread_mutex_destroy(lock)
        unsafe conditions.deallocate()
        unsafe lock.deallocate()
    }

    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        return body(&value)
    }

    /// Changes the value and wakes every waiter.
    func notify<Result>(_ body: (inout Value) -> Result) -> Result {
        notify { value, woken in
            woken = .all
            return body(&value)
        }
    }

    /// Changes the value and wakes the waiters that `body` names: all that may find what they wait for.
    func notify<Result>(_ body: (inout Value, inout Waiters) -> Result) -> Result {
        unsafe pthread_mutex_lock(lock)
        var woken: Waiters = []
        defer {
            for index in 0..<Waiters.count where woken.contains(Waiters(rawValue: 1 << index)) {
                unsafe pthread_cond_broadcast(conditions + index)
            }
            unsafe pthread_mutex_unlock(lock)
        }
        return body(&value, &woken)
    }

    /// Waits until `body` returns a result, at most `milliseconds` (nil = for ever); `body` runs under the lock, once per wake-up. `waiter`
    /// is one of `Waiters`.
    func wait<Result>(as waiter: Waiters = .callers, milliseconds: Int? = nil, until body: (inout Value) -> Result?) -> Result? {
        let condition = unsafe conditions + min(waiter.rawValue.trailingZeroBitCount, Waiters.count - 1)
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
