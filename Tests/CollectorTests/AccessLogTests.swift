@testable import Collector
import EventLoops
import Glibc
import Primitives
import Synchronization
import Testing
import TelemetryModel
import TelemetryWire

@Suite struct AccessLogFileTests {
    private func makePump(
        _ rings: [RecordRing], _ plan: CollectorPlan, _ statistics: CollectorStatistics, limits: CollectorLimits = CollectorLimits(),
        said: Said = Said()
    ) throws -> RecordPump {
        try RecordPump(rings: rings, plan: plan, sink: FakeSink(), catalogs: Catalogs(), statistics: statistics, limits: limits) {
            said.add($0)
        }
    }

    /// What logrotate does while requests run: no line may be lost, doubled or torn.
    @Test func rotationLosesNoLineAndTearsNone() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/access.log"
        let ring = RecordRing(capacity: 1 << 20)
        let statistics = CollectorStatistics()
        var history = CaptureHistory()
        let plan = try CollectorPlan(
            outbound: .init(outputs: [try textOutput(path, "%REQ(:PATH)% end")]), inbound: .init(), history: &history)
        let pump = try makePump([ring], plan, statistics)
        let total = 40_000
        let isDone = try Signal()
        let producer = try WorkerThread(name: "producer") {
            for index in 0..<total {
                while !put(recordBytes(exampleRecord(), exampleTexts(path: "/request/\(index)")), into: ring) { sched_yield() }
            }
            isDone.raise()
        }
        var rotations = 0
        while !isDone.wait(deadline: SystemClock.monotonicNow()) {
            unsafe rename(path, "\(path).\(rotations)")
            #expect(pump.reopen())
            rotations += 1
        }
        producer.join()
        pump.stop()
        var seen = [Int](repeating: 0, count: total)
        var torn = 0
        for name in directory.names {
            for line in directory.read(name).split(separator: "\n") {
                let parts = line.split(separator: " ")
                if parts.count == 2, parts[1] == "end", let index = Int(parts[0].dropFirst("/request/".count)), index < total {
                    seen[index] += 1
                } else {
                    torn += 1
                }
            }
        }
        #expect(rotations > 1)
        #expect(torn == 0)
        #expect(seen.allSatisfy { $0 == 1 })
        #expect(statistics.total("skein_access_log_lines_total") == UInt64(total))
    }

    @Test func outputsOfOnePathShareOneFile() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/both.log"
        let ring = RecordRing(capacity: 1 << 16)
        let statistics = CollectorStatistics()
        var history = CaptureHistory()
        let plan = try CollectorPlan(
            outbound: .init(outputs: [try textOutput(path, "out %REQ(:PATH)%")]),
            inbound: .init(outputs: [try textOutput(path, "in %REQ(:PATH)%")]), history: &history)
        let pump = try makePump([ring], plan, statistics)
        put(recordBytes(exampleRecord(side: .outbound), exampleTexts(path: "/1")), into: ring)
        put(recordBytes(exampleRecord(side: .inbound), exampleTexts(path: "/1")), into: ring)
        #expect(pump.flush())
        #expect(directory.read("both.log") == "out /1\nin /1\n")
        pump.stop()
        pump.stop()
        var status = stat()
        unsafe stat(path, &status)
        #expect(status.st_mode & 0o777 & ~0o640 == 0)
    }

    /// Without anybody asking: what was logged can be read with `tail -f` soon after.
    @Test func linesAppearByThemselves() throws {
        let directory = TemporaryDirectory()
        let ring = RecordRing(capacity: 1 << 16)
        var history = CaptureHistory()
        let plan = try CollectorPlan(
            outbound: .init(outputs: [try textOutput(directory.path + "/live.log", "%RESPONSE_CODE%")]), inbound: .init(),
            history: &history)
        let pump = try makePump([ring], plan, CollectorStatistics())
        put(recordBytes(exampleRecord(status: 503), exampleTexts()), into: ring)
        eventually("the line was never written") { directory.read("live.log") == "503\n" }
        pump.stop()
    }

    /// A full disk is not here to be had, but a directory that does not exist fails the same way: bounded memory, counted lines, words.
    @Test func linesThatCannotBeWrittenAreBoundedCountedAndSaid() throws {
        let directory = TemporaryDirectory()
        let ring = RecordRing(capacity: 1 << 20)
        let statistics = CollectorStatistics()
        let said = Said()
        var limits = CollectorLimits()
        limits.logPendingBytesMax = 64 * 1024
        var history = CaptureHistory()
        let plan = try CollectorPlan(
            outbound: .init(outputs: [try textOutput(directory.path + "/missing/access.log", "%REQ(:PATH)%")]), inbound: .init(),
            history: &history)
        let pump = try makePump([ring], plan, statistics, limits: limits, said: said)
        let total = 20_000
        for index in 0..<total {
            while !put(recordBytes(exampleRecord(), exampleTexts(path: "/request/\(index)")), into: ring) { pump.flush() }
        }
        pump.stop()
        let dropped = statistics.total("skein_access_log_dropped_total", ["reason": "open_failed"])
        #expect(dropped + statistics.total("skein_access_log_lines_total") == UInt64(total))
        #expect(dropped > 0)
        #expect(said.all.contains { $0.contains("missing/access.log") && $0.contains("No such file or directory") })
    }

    /// A wrong path is said at once, not after four megabytes of lines; and not again and again.
    @Test func aFileThatCannotBeOpenedIsSaidAtOnce() throws {
        let directory = TemporaryDirectory()
        let ring = RecordRing(capacity: 1 << 16)
        let said = Said()
        var limits = CollectorLimits()
        limits.logRetryNanoseconds = 0
        var history = CaptureHistory()
        let plan = try CollectorPlan(
            outbound: .init(outputs: [try textOutput(directory.path + "/missing/log", "%RESPONSE_CODE%")]), inbound: .init(),
            history: &history)
        let pump = try makePump([ring], plan, CollectorStatistics(), limits: limits, said: said)
        put(recordBytes(exampleRecord(), exampleTexts()), into: ring)
        eventually("nothing was said") { said.all.count == 1 }
        for _ in 0..<20 { #expect(pump.flush()) }
        #expect(said.all.count == 1 && said.all[0].contains("cannot open: No such file or directory"))
        pump.stop()
    }

    /// A full disk: the pump goes on with everything else, and says which log lost how much and why.
    @Test func fullDiskDropsWholeLinesAndNothingElse() throws {
        let directory = TemporaryDirectory()
        let ring = RecordRing(capacity: 1 << 20)
        let statistics = CollectorStatistics()
        let said = Said()
        var limits = CollectorLimits()
        limits.logPendingBytesMax = 64 * 1024
        limits.reportIntervalNanoseconds = 0
        var history = CaptureHistory()
        let good = directory.path + "/good.log"
        let plan = try CollectorPlan(
            outbound: .init(outputs: [try textOutput("/dev/full", "%REQ(:PATH)%"), try textOutput(good, "%REQ(:PATH)%")]), inbound: .init(),
            history: &history)
        let pump = try makePump([ring], plan, statistics, limits: limits, said: said)
        let total = 10_000
        for index in 0..<total {
            while !put(recordBytes(exampleRecord(), exampleTexts(path: "/request/\(index)")), into: ring) { pump.flush() }
        }
        pump.stop()
        #expect(statistics.total("skein_access_log_dropped_total", ["path": "/dev/full", "reason": "no_space"]) == UInt64(total))
        #expect(statistics.total("skein_access_log_lines_total", ["path": good]) == UInt64(total))
        #expect(said.all.contains { $0.contains("/dev/full") && $0.contains("No space left on device") })
    }

    /// A path that cannot be opened is said when the proxy starts, and one that can is there for whoever tails or rotates it.
    @Test func filesAreOpenedBeforeTheirFirstLine() throws {
        let directory = TemporaryDirectory()
        let said = Said()
        var history = CaptureHistory()
        let outputs = [
            try textOutput(directory.path + "/access.log", "%REQ(:PATH)%"),
            try textOutput(directory.path + "/nowhere/access.log", "%REQ(:PATH)%"),
        ]
        let plan = try CollectorPlan(outbound: .init(outputs: outputs), inbound: .init(), history: &history)
        let pump = try makePump([RecordRing(capacity: 1 << 16)], plan, CollectorStatistics(), said: said)
        eventually("it is said") { said.all.contains { $0.contains("/nowhere/access.log: cannot open: No such file or directory") } }
        #expect(directory.names == ["access.log"])
        pump.stop()
    }

    /// A pipe whose reader does not read: lines wait, then are dropped whole; what the reader gets in the end is not torn.
    @Test func slowReaderOfAPipeGetsWholeLines() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/pipe"
        #expect(unsafe mkfifo(path, 0o600) == 0)
        let reader = unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        defer { close(reader) }
        let statistics = CollectorStatistics()
        var limits = CollectorLimits()
        limits.logPendingBytesMax = 128 * 1024
        let file = AccessLogFile(path: path, limits: limits, statistics: statistics)
        let now = SystemClock.monotonicNow()
        let line = Array("a line of forty bytes, line feed at end\n".utf8)
        let total = 20_000
        for index in 0..<total {
            file.append { $0 += line }
            if index % 100 == 0 { file.writeOut(now: now) }
        }
        file.writeOut(now: now)
        var received: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe piece.withUnsafeMutableBytes { unsafe read(reader, $0.baseAddress, $0.count) }
            if count > 0 { received += piece[..<count] }
            file.writeOut(now: now + 1_000_000_000)
            if count <= 0, file.waitingBytes == 0 { break }
        }
        let lines = received.split(separator: 10)
        #expect(lines.allSatisfy { $0.elementsEqual(line.dropLast()) })
        let dropped = statistics.total("skein_access_log_dropped_total", ["reason": "slow_reader"])
        #expect(dropped > 0)
        #expect(UInt64(lines.count) + dropped == UInt64(total))
        #expect(UInt64(lines.count) == statistics.total("skein_access_log_lines_total"))
    }

    /// The reader of a pipe leaves: an error to count, not a signal that ends the process.
    @Test func readerThatLeavesEndsNothing() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/pipe"
        #expect(unsafe mkfifo(path, 0o600) == 0)
        let reader = unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        let probe = unsafe open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        defer { close(probe) }
        let ring = RecordRing(capacity: 1 << 16)
        let statistics = CollectorStatistics()
        var history = CaptureHistory()
        let plan = try CollectorPlan(
            outbound: .init(outputs: [try textOutput(path, "%RESPONSE_CODE%")]), inbound: .init(), history: &history)
        let pump = try makePump([ring], plan, statistics)
        put(recordBytes(exampleRecord(), exampleTexts()), into: ring)
        #expect(pump.flush())
        close(reader)
        // A child that another test is starting may still have a copy of it.
        eventually("nobody reads") {
            var waiting = pollfd(fd: probe, events: 0, revents: 0)
            return unsafe poll(&waiting, 1, 0) > 0 && waiting.revents & Int16(POLLERR) != 0
        }
        put(recordBytes(exampleRecord(), exampleTexts()), into: ring)
        #expect(pump.flush())
        pump.stop()
        #expect(statistics.total("skein_access_log_lines_total") == 1)
        #expect(statistics.total("skein_access_log_dropped_total") == 1)
    }
}
