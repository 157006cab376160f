internal import CSystem
internal import Glibc
internal import Synchronization

/// The way into a loop from other threads: a list of messages and an eventfd that wakes the loop.
///
/// `send` is for any thread; `descriptor` is watched and `take` called by the owning loop. Unbounded by design: senders are our own control
/// threads and receivers' completions, each of which has at most a bounded number of messages outstanding.
public final class Mailbox<Message: Sendable>: Sendable {
    private let messages = Mutex<[Message]>([])
    private let event: Int32

    public init() throws(SystemError) {
        event = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard event >= 0 else { throw SystemError(call: "eventfd", code: skein_errno()) }
    }

    deinit { close(event) }

    /// Readable while messages wait; register it level-triggered.
    public var descriptor: Int32 { event }

    public func send(_ message: Message) {
        let wasEmpty = messages.withLock { list in
            list.append(message)
            return list.count == 1
        }
        if wasEmpty { wake() }
    }

    /// Makes the loop turn without a message.
    public func wake() { _ = eventfd_write(event, 1) }

    /// Waits until there is a message or somebody wakes it: for a thread that has no loop.
    public func wait() {
        var waiting = pollfd(fd: event, events: Int16(POLLIN), revents: 0)
        while unsafe poll(&waiting, 1, -1) <= 0 {}
    }

    /// The same, for no longer than so many milliseconds; -1 = for ever.
    public func wait(milliseconds: Int32) {
        var waiting = pollfd(fd: event, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&waiting, 1, milliseconds)
    }

    /// All messages, oldest first.
    public func take() -> [Message] {
        var value: eventfd_t = 0
        _ = unsafe eventfd_read(event, &value)
        return messages.withLock { list in
            let taken = list
            list = []
            return taken
        }
    }
}
