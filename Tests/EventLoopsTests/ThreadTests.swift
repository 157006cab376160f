@testable import EventLoops
import Glibc
import Primitives
import Synchronization
import Testing

@Suite struct WorkerThreadTests {
    /// Stores are closed after their writers were joined: a join that returns early loses the last batch.
    @Test func joinWaitsForTheEndOfTheBody() throws {
        let gate = try Mailbox<Int>()
        let flag = Flag()
        let thread = try WorkerThread(name: "joined") {
            _ = isReady(gate.descriptor, POLLIN)
            flag.set()
        }
        #expect(!flag.isSet)
        gate.send(1)
        thread.join()
        #expect(flag.isSet)
    }

    /// `ps -L` is the first thing an operator looks at; the kernel refuses names beyond 15 bytes instead of cutting them.
    @Test(arguments: [("worker-3", "worker-3"), ("a-name-that-is-far-too-long", "a-name-that-is-"), ("", "")])
    func namesTheThread(_ given: String, _ shown: String) throws {
        let box = Name()
        let thread = try WorkerThread(name: given) {
            var buffer = [UInt8](repeating: 0, count: 16)
            let fd = unsafe open("/proc/thread-self/comm", O_RDONLY | O_CLOEXEC)
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress, $0.count) }
            close(fd)
            box.text.withLock { $0 = String(decoding: buffer.prefix(max(0, count)).prefix { $0 != 10 }, as: UTF8.self) }
        }
        thread.join()
        #expect(box.text.withLock { $0 } == shown)
    }

    /// A body that holds what it captured after its end would keep stores and descriptors open.
    @Test func letsGoOfItsBody() throws {
        weak var seen: Flag?
        let thread: WorkerThread
        do {
            let flag = Flag()
            seen = flag
            thread = try WorkerThread(name: "body") { flag.set() }
        }
        thread.join()
        #expect(seen == nil)
    }
}

private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}

private final class Name: Sendable { let text = Mutex("") }

@Suite struct FileDescriptorTests {
    private func openNull() -> Int32 { unsafe open("/dev/null", O_RDONLY | O_CLOEXEC) }

    /// The other end of a pipe tells whether and when the one end was closed, whatever other tests do with numbers meanwhile. A child that
    /// another test is starting has a copy of it until it is the new program: that an end is gone is waited for.
    private func pipeEnds() -> (read: Int32, write: Int32) {
        let ends = pipeOfThisProcess()
        return (ends[0], ends[1])
    }

    private func isWriterGone(_ reader: Int32) -> Bool {
        var waiting = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&waiting, 1, 0) > 0 && waiting.revents & Int16(POLLHUP) != 0
    }

    private struct Holder: ~Copyable { let descriptor: FileDescriptor }

    @Test func closesWhenItGoesAndNotBefore() {
        let (reader, writer) = pipeEnds()
        defer { close(reader) }
        do {
            let holder = Holder(descriptor: FileDescriptor(owning: writer))
            #expect(holder.descriptor.rawValue == writer)
            #expect(!isWriterGone(reader))
        }
        eventually("the writer is gone") { isWriterGone(reader) }
    }

    /// Closed twice, the second time would hit whoever got the number meanwhile: a stranger's connection dies.
    @Test func closesExactlyOnceWhenHandedOn() {
        let (reader, writer) = pipeEnds()
        defer { close(reader) }
        var stranger: Int32 = -1
        func inner(_ descriptor: consuming FileDescriptor) { #expect(!isWriterGone(reader)) }
        func outer(_ descriptor: consuming FileDescriptor) {
            let number = descriptor.rawValue
            inner(descriptor)
            eventually("the writer is gone") { isWriterGone(reader) }
            // The number, or one close to it, is somebody else's while the first owner's scope still lasts.
            let null = openNull()
            stranger = fcntl(null, F_DUPFD_CLOEXEC, number)
            close(null)
        }
        outer(FileDescriptor(owning: writer))
        #expect(isOpen(stranger))
        close(stranger)
    }

    @Test func aFailedCallIsAnErrorWithItsName() {
        errno = ENOENT
        let error = #expect(throws: SystemError.self) { _ = try FileDescriptor(checking: -1, "openat") }
        #expect(error?.call == "openat")
    }
}

/// Signals go to threads here, so that the test process itself never sees one.
@Suite struct SignalInboxTests {
    private func onThread(_ body: @escaping @Sendable () -> Void) throws { try WorkerThread(name: "signals", body).join() }

    /// Orchestrators speak SIGTERM, people SIGINT, log rotation SIGHUP. A signal taken for another one would end a process that was to
    /// reload.
    @Test(arguments: [(SIGHUP, ProcessSignal.reload), (SIGTERM, .terminate), (SIGINT, .terminate)])
    func tellsSignalsApart(_ signal: Int32, _ meaning: ProcessSignal) throws {
        try onThread {
            guard let inbox = try? SignalInbox() else {
                Issue.record("no inbox")
                return
            }
            #expect(inbox.wait(milliseconds: 0) == nil)
            pthread_kill(pthread_self(), signal)
            #expect(inbox.wait(milliseconds: 5_000) == meaning)
            #expect(inbox.wait(milliseconds: 0) == nil, "each signal is told once")
        }
    }

    /// The second SIGTERM means "now": two that come while nobody looks must not be fewer than one, and a SIGHUP before them must not hide
    /// them.
    @Test func keepsDifferentSignalsApartWhileNobodyLooks() throws {
        try onThread {
            guard let inbox = try? SignalInbox() else {
                Issue.record("no inbox")
                return
            }
            pthread_kill(pthread_self(), SIGHUP)
            pthread_kill(pthread_self(), SIGTERM)
            let seen = [inbox.wait(milliseconds: 5_000), inbox.wait(milliseconds: 5_000)]
            #expect(seen.contains(.reload))
            #expect(seen.contains(.terminate))
        }
    }

    /// A log pipe or a spliced connection whose reader left must be an error value; the default action ends the process without a word.
    @Test func aBrokenPipeIsNoSignal() throws {
        try onThread {
            guard let inbox = try? SignalInbox() else {
                Issue.record("no inbox")
                return
            }
            let ends = pipeOfThisProcess()
            close(ends[0])
            var code: Int32 = 0
            // A child that another test is starting may still have a copy of the reader.
            eventually("the pipe is broken") {
                var byte: UInt8 = 1
                code = unsafe write(ends[1], &byte, 1) == -1 ? errno : 0
                return code != 0
            }
            #expect(code == EPIPE)
            close(ends[1])
            #expect(inbox.wait(milliseconds: 0) == nil)
        }
    }
}

/// A loop that two threads use breaks far from the mistake; a debug build says it at the first call.
@Suite struct OwnerThreadTests {
    @Test func anotherThreadIsRefused() async {
        let owner = OwnerThread()
        owner.check("This test's loop")
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let owner = OwnerThread()
            let thread = try WorkerThread(name: "thief") { owner.check("This test's loop") }
            thread.join()
        }
        let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(said.contains("This test's loop is used by a thread that does not own it"))
    }

    /// Every loop waits by its poller, so every loop is checked.
    @Test func aPollerIsOfOneThread() async {
        await #expect(processExitsWith: .failure) {
            let moved = Moved(try Poller())
            let thread = try WorkerThread(name: "thief") { _ = moved.poller.wait(timeoutMilliseconds: 0) }
            thread.join()
        }
        // The same on its own thread.
        await #expect(processExitsWith: .success) { _ = Moved(try Poller()).poller.wait(timeoutMilliseconds: 0) }
    }
}

/// The mistake itself: a promise to the compiler that is not kept.
private final class Moved: @unchecked Sendable {
    let poller: Poller

    init(_ poller: consuming Poller) { self.poller = poller }
}
