internal import Glibc
public import Primitives

/// Something that happens once, and threads that wait for it.
public final class Signal: Sendable {
    private let mailbox: Mailbox<Bool>

    public init() throws(SystemError) { mailbox = try Mailbox() }

    public func raise() { mailbox.wake() }

    /// Whether it has happened before `deadline`. Nobody takes the event back, so any number of threads may wait, and wait again.
    @discardableResult
    public func wait(deadline: MonotonicInstant) -> Bool {
        while true {
            var waiting = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
            let left = deadline.nanoseconds(since: SystemClock.monotonicNow())
            let timeout = left == 0 ? 0 : Int32(clamping: left / 1_000_000 + 1)
            if unsafe poll(&waiting, 1, timeout) > 0 { return true }
            if left == 0 { return false }
        }
    }
}
