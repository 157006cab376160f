internal import CSystem

/// What epoll reported for one descriptor.
public struct ReadyEvents: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let readable = ReadyEvents(rawValue: 0x001)
    public static let writable = ReadyEvents(rawValue: 0x004)
    public static let error = ReadyEvents(rawValue: 0x008)
    public static let hangUp = ReadyEvents(rawValue: 0x010)
    public static let readHangUp = ReadyEvents(rawValue: 0x2000)
}

/// One epoll instance. Sockets are registered once, edge-triggered for both directions, so that steady traffic needs no epoll_ctl.
///
/// Owned by one loop on one thread, the one that makes it; debug builds check that.
@safe
public struct Poller: ~Copyable {
    private let epoll: FileDescriptor
    private let events: UnsafeMutablePointer<epoll_event>
    private let owner = OwnerThread()

    /// Events taken from the kernel in one turn.
    public static let eventsPerTurnMax = 256

    public init() throws(SystemError) {
        epoll = try FileDescriptor(checking: epoll_create1(Int32(EPOLL_CLOEXEC)), "epoll_create1")
        unsafe events = .allocate(capacity: Self.eventsPerTurnMax)
    }

    deinit { unsafe events.deallocate() }

    /// Registers a stream socket, edge-triggered, for both directions and the peer's half-close.
    public func add(stream fd: Int32, token: UInt64) throws(SystemError) {
        // EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
        try check(skein_epoll_ctl(epoll.rawValue, EPOLL_CTL_ADD, fd, 0x001 | 0x004 | 0x2000 | 1 << 31, token), "epoll_ctl")
    }

    /// Registers a descriptor level-triggered for reading: listeners, event and signal descriptors.
    public func add(readable fd: Int32, token: UInt64) throws(SystemError) {
        try check(skein_epoll_ctl(epoll.rawValue, EPOLL_CTL_ADD, fd, 0x001, token), "epoll_ctl")
    }

    /// Registers a listener that other loops accept from as well: of those that wait, a connection wakes the one whose turn it is
    /// (EPOLLEXCLUSIVE).
    public func add(sharedListener fd: Int32, token: UInt64) throws(SystemError) {
        // EPOLLIN | EPOLLEXCLUSIVE
        try check(skein_epoll_ctl(epoll.rawValue, EPOLL_CTL_ADD, fd, 0x001 | 1 << 28, token), "epoll_ctl")
    }

    /// Forgets a descriptor without closing it. Closing it forgets it as well.
    public func remove(_ fd: Int32) {
        _ = skein_epoll_ctl(epoll.rawValue, EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// Waits up to `timeoutMilliseconds` (-1 = for ever) and returns how many events `event` can be asked for.
    public func wait(timeoutMilliseconds: Int32) -> Int {
        owner.check("An epoll instance")
        let count = unsafe epoll_wait(epoll.rawValue, events, Int32(Self.eventsPerTurnMax), timeoutMilliseconds)
        return max(0, Int(count))  // EINTR is an empty turn.
    }

    @inline(__always)
    public func event(_ index: Int) -> (token: UInt64, events: ReadyEvents) {
        assert(index < Self.eventsPerTurnMax)
        return unsafe (skein_epoll_token(events + index), ReadyEvents(rawValue: skein_epoll_events(events + index)))
    }

    private func check(_ result: Int32, _ call: String) throws(SystemError) {
        if result < 0 { throw SystemError(call: call, code: skein_errno()) }
    }
}
