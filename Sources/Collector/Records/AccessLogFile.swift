internal import Glibc
internal import Primitives

/// One access-log file, or the process's stdout or stderr: lines in, batches of whole lines out.
///
/// Never blocks for long and never tears a line: what the descriptor does not take (full disk, slow reader of a pipe) stays in the
/// buffer and is tried again; when the buffer is full, further lines are dropped whole and counted. Confined to the pump's thread.
final class AccessLogFile {
    enum DropReason: String, CaseIterable {
        /// The disk or the quota is full.
        case noSpace = "no_space"
        /// The reader of a pipe or socket is slower than the log.
        case slowReader = "slow_reader"
        /// The reader of a pipe has gone.
        case closed
        case openFailed = "open_failed"
        case writeFailed = "write_failed"
        /// Still unwritten when the file was closed or reopened.
        case unwritten
    }

    let path: String
    private let limits: CollectorLimits
    private var descriptor: Int32 = -1
    /// The descriptor could not be opened anew and is a duplicate whose flags belong to others: writes ask first.
    private var isShared = false
    /// Waiting bytes are `buffer[head...]`.
    private var buffer: [UInt8] = []
    private var head = 0
    /// Lines that end in the waiting bytes.
    private var linesWaiting = 0
    private var retryAt = MonotonicInstant(nanoseconds: 0)
    /// Why nothing is written at the moment; nil = all is well.
    private(set) var trouble: DropReason?
    private(set) var troubleText = ""
    private let lines: CollectorCounter
    private let bytes: CollectorCounter
    private let dropped: [CollectorCounter]
    /// Lines dropped since the last report.
    private var droppedUnreported = 0
    /// A trouble that nobody has been told of yet, and when the last one began that somebody was.
    private var notice: String?
    private var noticedAt: MonotonicInstant?

    init(path: String, limits: CollectorLimits, statistics: CollectorStatistics) {
        self.path = path
        self.limits = limits
        lines = statistics.counter(.logLines, [("path", path)])
        bytes = statistics.counter(.logBytes, [("path", path)])
        dropped = DropReason.allCases.map { statistics.counter(.logLinesDropped, [("path", path), ("reason", $0.rawValue)]) }
    }

    deinit { closeDescriptor() }

    var waitingBytes: Int { buffer.count - head }

    /// Opens the file before its first line, so that a path that cannot be opened is said when the proxy starts.
    func begin(now: MonotonicInstant) {
        if descriptor < 0, trouble == nil { open(now) }
    }

    /// Lets `body` append exactly one line, or drops it.
    @inline(__always)
    func append(_ body: (inout [UInt8]) -> Void) {
        if buffer.count - head >= limits.logPendingBytesMax, !makeRoom() { return }
        body(&buffer)
        linesWaiting += 1
    }

    /// A burst of long lines fills the buffer within one drain, and the disk may be well. False = the line is dropped.
    private func makeRoom() -> Bool {
        if trouble == nil { writeOut(now: SystemClock.monotonicNow()) }
        if waitingBytes < limits.logPendingBytesMax { return true }
        drop(1, trouble ?? .writeFailed)
        return false
    }

    /// Writes what waits, as far as the descriptor takes it. Attempts after a failure are `logRetryNanoseconds` apart.
    func writeOut(now: MonotonicInstant) {
        guard head < buffer.count, trouble == nil || now >= retryAt else { return }
        if descriptor < 0 { open(now) }
        guard descriptor >= 0 else { return }
        while head < buffer.count {
            let count = unsafe buffer.withUnsafeBytes { unsafe put(UnsafeRawBufferPointer(rebasing: $0[head...])) }
            guard count > 0 else {
                noteFailure(now)
                return
            }
            bytes.add(count)
            wrote(count)
        }
        trouble = nil
    }

    /// Writes what waits to the old file and opens the path anew: after logrotate's rename, the next line goes to the new file.
    func reopen(now: MonotonicInstant) {
        trouble = nil
        writeOut(now: now)
        // The rest of a line begun in the old file makes no sense in the new one.
        if head > 0, head < buffer.count, buffer[head - 1] != UInt8(ascii: "\n") { discardLine() }
        let old = descriptor
        let wasShared = isShared
        descriptor = -1
        open(now)
        guard old >= 0 else { return }
        if descriptor >= 0 {
            close(old)
        } else {
            // Better the old file than none.
            descriptor = old
            isShared = wasShared
        }
    }

    /// Writes what waits, for as long as `deadline` allows, drops the rest and closes. Waits for slow readers of pipes.
    func finish(deadline: MonotonicInstant) {
        trouble = nil
        while true {
            let now = SystemClock.monotonicNow()
            writeOut(now: now)
            guard head < buffer.count, now < deadline, trouble == .slowReader, descriptor >= 0 else { break }
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = unsafe poll(&waiting, 1, Int32(clamping: deadline.nanoseconds(since: now) / 1_000_000 + 1))
            trouble = nil
        }
        drop(linesWaiting, trouble ?? .unwritten)
        linesWaiting = 0
        buffer = []
        head = 0
        closeDescriptor()
    }

    /// What went wrong since the last call, in one sentence; nil when nothing did.
    func report() -> String? {
        guard droppedUnreported > 0 else { return nil }
        let count = droppedUnreported
        droppedUnreported = 0
        return "access log \(path): \(count) line\(count == 1 ? "" : "s") dropped\(troubleText.isEmpty ? "" : " (\(troubleText))")"
    }

    /// A trouble that has just begun, in one sentence: said at once, because with an empty buffer it takes long until a line is lost. At
    /// most once in `reportIntervalNanoseconds`.
    func takeNotice() -> String? {
        guard let text = notice else { return nil }
        notice = nil
        return "access log \(path): \(text); lines wait for it up to \(limits.logPendingBytesMax) bytes, further ones are dropped"
    }

    private func fail(_ reason: DropReason, _ text: String, _ now: MonotonicInstant) {
        if trouble != reason, noticedAt.map({ now.nanoseconds(since: $0) >= limits.reportIntervalNanoseconds }) ?? true {
            notice = text
            noticedAt = now
        }
        trouble = reason
        troubleText = text
    }

    // MARK: The descriptor

    private func open(_ now: MonotonicInstant) {
        // Non-blocking for pipes; regular files ignore it. Opening /dev/stdout makes a description of our own, whose flags we may set.
        let flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY
        descriptor = unsafe Glibc.open(path, flags, 0o640)
        isShared = false
        if descriptor >= 0 { return }
        let code = errno
        // A socket (as under systemd), or a file of another user, cannot be opened by name.
        if let standard = path == "/dev/stdout" ? STDOUT_FILENO : path == "/dev/stderr" ? STDERR_FILENO : nil {
            descriptor = fcntl(standard, F_DUPFD_CLOEXEC, 3)
            isShared = descriptor >= 0
            if isShared { return }
        }
        unsafe fail(.openFailed, "cannot open: \(String(cString: strerror(code)))", now)
        retryAt = now + limits.logRetryNanoseconds
    }

    /// Bytes written, or 0 with `errno` set.
    private func put(_ bytes: UnsafeRawBufferPointer) -> Int {
        var limit = bytes.count
        if isShared {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard unsafe poll(&waiting, 1, 0) > 0, waiting.revents & Int16(POLLOUT) != 0 else {
                errno = waiting.revents & Int16(POLLERR | POLLHUP) != 0 ? EPIPE : EAGAIN
                return 0
            }
            // What poll promises to take without blocking, where the descriptor blocks.
            limit = min(limit, Int(PIPE_BUF))
        }
        while true {
            let count = unsafe Glibc.write(descriptor, bytes.baseAddress, limit)
            if count < 0, errno == EINTR { continue }
            return max(0, count)
        }
    }

    private func noteFailure(_ now: MonotonicInstant) {
        let code = errno
        if code == EAGAIN {
            // Ordinary for a pipe, and only worth words when lines are lost.
            trouble = .slowReader
            troubleText = "its reader is too slow"
            retryAt = now
            return
        }
        let reason: DropReason
        switch code {
        case ENOSPC, EDQUOT, EFBIG: reason = .noSpace
        case EPIPE: reason = .closed
        default: reason = .writeFailed
        }
        unsafe fail(reason, String(cString: strerror(code)), now)
        retryAt = now + limits.logRetryNanoseconds
    }

    private func wrote(_ count: Int) {
        if head + count == buffer.count {
            lines.add(linesWaiting)
            linesWaiting = 0
            head = 0
            // A burst's memory is not kept for ever.
            if buffer.capacity > limits.logBytesKept { buffer = [] } else { buffer.removeAll(keepingCapacity: true) }
            return
        }
        // A format may have line feeds inside its lines.
        let ended = min(lineEnds(head..<head + count), linesWaiting)
        lines.add(ended)
        linesWaiting -= ended
        head += count
        if head > buffer.count / 2 {
            // The byte before the waiting ones stays: it tells whether a line was cut.
            buffer.removeSubrange(0..<head - 1)
            head = 1
        }
    }

    private func discardLine() {
        let end = buffer[head...].firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? buffer.count
        head = end
        linesWaiting -= 1
        drop(1, .unwritten)
    }

    private func lineEnds(_ range: Range<Int>) -> Int {
        var count = 0
        for index in range where buffer[index] == UInt8(ascii: "\n") { count += 1 }
        return count
    }

    private func drop(_ count: Int, _ reason: DropReason) {
        guard count > 0 else { return }
        droppedUnreported += count
        dropped[DropReason.allCases.firstIndex(of: reason) ?? 0].add(count)
    }

    private func closeDescriptor() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }
}
