internal import CSystem
internal import Glibc

/// A plain named thread that runs one body to its end. For loops and for everything that blocks.
public final class WorkerThread: Sendable {
    private let handle: pthread_t

    /// Stack of every thread of ours, bytes. Parsers recurse only to named depths, which fit many times over.
    public static let stackBytes = 1 << 20

    private final class Start {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Starts the thread. `name` shows in `ps -L` and `perf`; the kernel keeps 15 bytes of it.
    public init(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        defer { unsafe pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setstacksize(&attributes, Self.stackBytes)
        var thread = pthread_t()
        let start = unsafe Unmanaged.passRetained(Start(name: name, body: body))
        let result = unsafe pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                unsafe skein_set_thread_name(String(start.name.prefix(15)))
                start.body()
                return nil
            }, start.toOpaque())
        guard result == 0 else {
            unsafe start.release()
            throw SystemError(call: "pthread_create", code: result)
        }
        handle = thread
    }

    /// Waits until the body has returned. Call once.
    public func join() { pthread_join(handle, nil) }
}
