internal import Primitives
internal import Synchronization
public import TelemetryModel
public import TelemetryWire

/// The last records of this process, for `skein logs`: recent ones, and new ones as they come.
///
/// Until somebody looks, a record costs one copy of its bytes. Any thread may call it; the pump holds the lock for one drain of one ring.
public final class LogTail: Sendable {
    struct State: ~Copyable {
        fileprivate var storage: LogTailStorage
        fileprivate var followers: [LogFollower] = []
        fileprivate var lastFollower: UInt64 = 0

        /// Keeps the record and formats it for those who follow.
        @inline(__always)
        mutating func append(
            _ entry: UnsafeRawBufferPointer, _ view: borrowing RequestRecordView, names: borrowing NameTable, tail: LogTail
        ) {
            unsafe storage.append(entry)
            if !followers.isEmpty { follow(view, names, tail) }
        }

        private mutating func follow(_ view: borrowing RequestRecordView, _ names: borrowing NameTable, _ tail: LogTail) {
            for index in followers.indices where followers[index].matcher.matches(view, names: names) {
                guard followers[index].lines.count < tail.limits.tailBytesPerDrainMax else {
                    tail.linesCut.add()
                    followers[index].cut += 1
                    continue
                }
                let position = LogPosition(log: tail.log, record: storage.newest)
                tail.append(view, names, followers[index].format, followers[index].framing, position, to: &followers[index].lines)
            }
        }
    }

    let limits: CollectorLimits
    /// Tells this log from that of a process before: `LogPosition.log`.
    let log: UInt64
    private let lock = Mutex(())
    /// Touched under `lock` only. Not inside the mutex, whose values may not be lent to code that holds the pump's own state.
    nonisolated(unsafe) private var state: State
    private let names: CatalogNames
    private let textProgram: AccessLogProgram
    private let jsonProgram: AccessLogProgram
    private let tracedProgram: AccessLogProgram
    private let tapLine: TapLine
    let linesCut: CollectorCounter
    private let resumedLate: CollectorCounter

    init(
        limits: CollectorLimits, catalogs: Catalogs, statistics: CollectorStatistics, log: UInt64 = SystemClock.unixNanoseconds()
    ) {
        self.limits = limits
        self.log = log
        unsafe state = State(storage: LogTailStorage(recordsMax: limits.tailRecordsMax, bytesMax: limits.tailBytesMax))
        names = CatalogNames(catalogs)
        textProgram = Self.istio { () throws(AccessLogFormatError) in try .text(AccessLogFormat.istioText) }
        jsonProgram = Self.istio { () throws(AccessLogFormatError) in try .json(AccessLogFormat.istioJSON) }
        tracedProgram = Self.istio { () throws(AccessLogFormatError) in
            try .json(
                [
                    ("trace_id", .template("%TRACE_ID%")), ("span_id", .template("%SPAN_ID%")),
                    ("attempts", .template("%UPSTREAM_REQUEST_ATTEMPT_COUNT%")),
                ] + AccessLogFormat.istioJSON)
        }
        tapLine = TapLine(catalogs)
        linesCut = statistics.counter(.tailCut, [("reason", LogEvents.Gap.slowFollower.rawValue)])
        resumedLate = statistics.counter(.tailCut, [("reason", LogEvents.Gap.resumedLate.rawValue)])
    }

    /// These formats need nothing but what every record holds, so they fit records of any capture.
    private static func istio(_ format: () throws(AccessLogFormatError) -> AccessLogFormat) -> AccessLogProgram {
        do throws(AccessLogFormatError) {
            return try format().program(capture: HeaderCapture())
        } catch {
            preconditionFailure("a built-in access-log format does not compile: \(error)")
        }
    }

    /// Appends the record's line, framed.
    private func append(
        _ view: borrowing RequestRecordView, _ names: borrowing NameTable, _ format: LogLineFormat, _ framing: LogFraming,
        _ position: LogPosition, to lines: inout [UInt8]
    ) {
        if framing == .events { LogEvents.appendHead(position, to: &lines) }
        append(view, names, format, to: &lines)
        if framing == .events { LogEvents.appendEnd(to: &lines) }
    }

    private func append(
        _ view: borrowing RequestRecordView, _ names: borrowing NameTable, _ format: LogLineFormat, to lines: inout [UInt8]
    ) {
        program(format).append(view, names: names, emitUnixNanoseconds: 0, to: &lines)
        if format == .tap { tapLine.extend(&lines, view.record) }
    }

    private func program(_ format: LogLineFormat) -> AccessLogProgram {
        switch format {
        case .text: textProgram
        case .json, .tap: jsonProgram
        case .traced: tracedProgram
        }
    }

    /// The newest `limit` records that match, oldest first, each a line with its line feed.
    public func recent(filter: LogFilter, limit: Int, format: LogLineFormat = .text) -> [[UInt8]] {
        recentRecords(filter: filter, limit: limit) { view, table in
            var line: [UInt8] = []
            append(view, table, format, to: &line)
            return line
        }
    }

    /// What `transform` makes of the newest `limit` records that match, oldest first.
    public func recentRecords<Value>(
        filter: LogFilter, limit: Int, _ transform: (borrowing RequestRecordView, borrowing NameTable) -> Value
    ) -> [Value] {
        let matcher = LogMatcher(filter)
        // Names are interned before the first record that uses them: a table made under the lock has those of every record kept.
        let entries = withState { state in matching(matcher, state.storage, limit: limit, names.current()) }
        let table = names.current()
        var values: [Value] = []
        for entry in entries.reversed() {
            let bytes = unsafe entry.bytes.span.bytes
            if let view = RequestRecordView(bytes) { values.append(transform(view, table)) }
        }
        return values
    }

    /// A copy of a record that is kept.
    private struct Entry: Sendable {
        let number: UInt64
        let bytes: [UInt8]
    }

    /// Copies of the newest `limit` records that match and came behind number `after`, newest first. Under the lock.
    private func matching(
        _ matcher: LogMatcher, _ storage: borrowing LogTailStorage, limit: Int, after: UInt64 = 0, _ table: borrowing NameTable
    ) -> [Entry] {
        var found: [Entry] = []
        for age in 0..<storage.count {
            guard found.count < limit, storage.number(age: age) > after else { break }
            let bytes = unsafe storage.record(age: age)
            guard let view = RequestRecordView(unsafe RawSpan(_unsafeBytes: bytes)), matcher.matches(view, names: table) else { continue }
            unsafe found.append(Entry(number: storage.number(age: age), bytes: Array(bytes)))
        }
        return found
    }

    // MARK: Following

    /// Calls `sink` with whole lines, on the pump's thread, whenever records match; until it returns false or `unsubscribe`.
    ///
    /// `begin` is called once before that, on this thread, with what is kept already and wanted (`LogSubscription.start`): no record is
    /// left out between the two, and none is given twice. `sink` must not block (a `Responder` does not). Nil, and nothing called, when
    /// `tailFollowersMax` follow already. Those whose `isOpen` is false by then are let go first: one whose filter nothing matches is
    /// handed nothing, so it would stay for ever.
    public func subscribe(
        _ wanted: LogSubscription, isOpen: @escaping @Sendable () -> Bool = { true }, begin: ([UInt8]) -> Void = { _ in },
        sink: @escaping @Sendable ([UInt8]) -> Bool
    ) -> LogFollowerID? {
        let matcher = LogMatcher(wanted.filter)
        let joined = withState { state -> (id: LogFollowerID, kept: FirstRecords)? in
            state.followers.removeAll { !$0.isOpen() }
            guard state.followers.count < limits.tailFollowersMax else { return nil }
            state.lastFollower += 1
            let id = LogFollowerID(rawValue: state.lastFollower)
            state.followers.append(
                LogFollower(id: id, matcher: matcher, format: wanted.format, framing: wanted.framing, isOpen: isOpen, sink: sink))
            return (id, firstRecords(state.storage, matcher, wanted.start))
        }
        guard let (id, kept) = joined else { return nil }
        begin(opening(kept, wanted))
        withState { state in
            if let index = state.followers.firstIndex(where: { $0.id == id }) { state.followers[index].hasBegun = true }
        }
        return id
    }

    /// What a follower begins with.
    private struct FirstRecords: Sendable {
        /// Newest first.
        var entries: [Entry]
        /// Records behind the reader's last that are kept no more.
        var missing: UInt64 = 0
        var isRestarted = false
    }

    private func firstRecords(_ storage: borrowing LogTailStorage, _ matcher: LogMatcher, _ start: LogStart) -> FirstRecords {
        let table = names.current()
        switch start {
        case .newest(let limit): return FirstRecords(entries: matching(matcher, storage, limit: limit, table))
        case .after(let last):
            // A number that has not come yet is not ours either, whatever it says.
            let isOurs = last.log == log && last.record <= storage.newest
            let after = isOurs ? last.record : 0
            return FirstRecords(
                entries: matching(matcher, storage, limit: .max, after: after, table), missing: storage.missing(after: after),
                isRestarted: !isOurs)
        }
    }

    /// The first bytes for a follower: what it lacks, then what is kept, oldest first, `tailCatchUpBytesMax` at most.
    private func opening(_ kept: FirstRecords, _ wanted: LogSubscription) -> [UInt8] {
        let table = names.current()
        var framed: [[UInt8]] = []
        var byteCount = 0
        for entry in kept.entries {
            let bytes = unsafe entry.bytes.span.bytes
            guard byteCount < limits.tailCatchUpBytesMax, let view = RequestRecordView(bytes) else { break }
            var line: [UInt8] = []
            append(view, table, wanted.format, wanted.framing, LogPosition(log: log, record: entry.number), to: &line)
            byteCount += line.count
            framed.append(line)
        }
        var lines: [UInt8] = []
        if wanted.framing == .events { LogEvents.appendOpening(to: &lines) }
        if case .after = wanted.start {
            let (lost, overflow) = kept.missing.addingReportingOverflow(UInt64(kept.entries.count - framed.count))
            let missing = overflow ? .max : lost
            resumedLate.add(Int(clamping: missing))
            if wanted.framing == .events {
                if kept.isRestarted { LogEvents.appendGap(.restarted, requests: missing, to: &lines) }
                else if missing > 0 { LogEvents.appendGap(.resumedLate, requests: missing, to: &lines) }
            }
        }
        lines.append(contentsOf: framed.reversed().joined())
        return lines
    }

    public func unsubscribe(_ id: LogFollowerID) {
        withState { state in state.followers.removeAll { $0.id == id } }
    }

    public var followerCount: Int { withState { $0.followers.count } }
    public var recordCount: Int { withState { $0.storage.count } }

    // MARK: The pump's side

    /// Lets `body` append what it drains, under the lock.
    func withState<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        lock.withLock { _ in unsafe body(&state) }
    }

    /// Hands formatted lines over, outside the lock; says to those who get events that nothing has come for long.
    func deliver(now: MonotonicInstant) {
        let due = withState { state -> [(LogFollowerID, @Sendable ([UInt8]) -> Bool, [UInt8])] in
            let position = LogPosition(log: log, record: state.storage.newest)
            var due: [(LogFollowerID, @Sendable ([UInt8]) -> Bool, [UInt8])] = []
            for index in state.followers.indices {
                let lines = state.followers[index].takeLines(position, heartbeatNanoseconds: limits.tailHeartbeatNanoseconds, now: now)
                if let lines { due.append((state.followers[index].id, state.followers[index].sink, lines)) }
            }
            return due
        }
        for (id, sink, lines) in due where !sink(lines) { unsubscribe(id) }
    }
}
