import EventLoops
import Glibc
import Testing

@Suite struct MailboxTests {
    /// A message lost, doubled or overtaken by its successor would be a configuration that a worker never adopts, or an old one adopted
    /// last.
    @Test func everyMessageIsTakenOnceAndInOrderOfItsSender() throws {
        let senders = 4
        let each = 5_000
        let mailbox = try Mailbox<(sender: Int, number: Int)>()
        let threads = try (0..<senders).map { sender in
            try WorkerThread(name: "sender-\(sender)") {
                for number in 0..<each { mailbox.send((sender, number)) }
            }
        }
        var next = [Int](repeating: 0, count: senders)
        var total = 0
        while total < senders * each {
            // A message without a wake-up would stop here.
            guard isReady(mailbox.descriptor, POLLIN) else {
                Issue.record("\(total) messages came, then no wake-up")
                break
            }
            for message in mailbox.take() {
                #expect(message.number == next[message.sender])
                next[message.sender] = message.number + 1
                total += 1
            }
        }
        for thread in threads { thread.join() }
        #expect(next == [Int](repeating: each, count: senders))
        #expect(mailbox.take().isEmpty)
    }

    /// A loop that stays readable after it took everything would turn at full speed for ever.
    @Test func isQuietOnceEmptied() throws {
        let mailbox = try Mailbox<Int>()
        #expect(!isReady(mailbox.descriptor, POLLIN, milliseconds: 0))
        mailbox.send(1)
        mailbox.send(2)
        #expect(isReady(mailbox.descriptor, POLLIN, milliseconds: 0))
        #expect(mailbox.take() == [1, 2])
        #expect(!isReady(mailbox.descriptor, POLLIN, milliseconds: 0))
    }

    /// `stop` of the resolver wakes without a message; a loop that misses it would look up names for another half minute.
    @Test func wakesWithoutAMessage() throws {
        let mailbox = try Mailbox<Int>()
        mailbox.wake()
        #expect(isReady(mailbox.descriptor, POLLIN, milliseconds: 0))
        #expect(mailbox.take().isEmpty)
        #expect(!isReady(mailbox.descriptor, POLLIN, milliseconds: 0))
    }

    /// Each worker, exporter and server has one: a descriptor left behind would run the process out of them over its reloads.
    @Test func closesItsDescriptor() throws {
        var descriptor: Int32 = -1
        do {
            let mailbox = try Mailbox<Int>()
            descriptor = mailbox.descriptor
            #expect(Descriptors.number(descriptor).contains("eventfd"))
        }
        #expect(!Descriptors.number(descriptor).contains("eventfd"))
    }
}

/// What this process has open. Suites run side by side, so a number that was closed may be somebody else's an instant later: what it names
/// is compared.
enum Descriptors {
    static func number(_ fd: Int32) -> String {
        var target = [UInt8](repeating: 0, count: 256)
        let count = unsafe target.withUnsafeMutableBytes { buffer in
            unsafe readlink("/proc/self/fd/\(fd)", buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        return count > 0 ? String(decoding: target[..<count], as: UTF8.self) : ""
    }
}
