internal import Synchronization
public import TelemetryModel
public import TelemetryWire

/// How `skein logs` prints a record.
public enum LogLineFormat: Sendable {
    /// Istio's default text line.
    case text
    /// Istio's JSON keys, typed.
    case json
    /// The same with `trace_id`, `span_id` and `attempts` before them, by which the page leads from a line to its trace.
    case traced
    /// The same with the ends of the request and its trace, and lines that say what was left out (`TapLine`).
    case tap
}

/// One client that follows the log.
public struct LogFollowerID: Hashable, Sendable {
    let rawValue: UInt64
}

/// The last records of this process, for `skein logs`: recent ones, and new ones as they come.
///
/// Until somebody looks, a record costs one copy of its bytes. Any thread may call it; the pump holds the lock for one drain of one ring.
public final class LogTail: Sendable {
    struct Follower {
        let id: LogFollowerID
        let matcher: LogMatcher
        let format: LogLineFormat
        let isOpen: @Sendable () -> Bool
        let sink: @Sendable ([UInt8]) -> Bool
        var lines: [UInt8] = []
        /// Lines that there was no room for since the last delivery.
        var cut: UInt64 = 0
    }

    struct State: ~Copyable {
        fileprivate var storage: LogTailStorage
        fileprivate var followers: [Follower] = []
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
                tail.append(view, names, followers[index].format, to: &followers[index].lines)
            }
        }
    }

    let limits: CollectorLimits
    private let lock = Mutex(())
    /// Touched under `lock` only. Not inside the mutex, whose values may not be lent to code that holds the pump's own state.
    nonisolated(unsafe) private var state: State
    private let names: CatalogNames
    private let textProgram: AccessLogProgram
    private let jsonProgram: AccessLogProgram
    private let tracedProgram: AccessLogProgram
    private let tapLine: TapLine
    let linesCut: CollectorCounter

    init(limits: CollectorLimits, catalogs: Catalogs, statistics: CollectorStatistics) {
        self.limits = limits
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
        linesCut = statistics.counter(.tailCut, [("reason", "slow_follower")])
    }

    /// These formats need nothing but what every record holds, so they fit records of any capture.
    private static func istio(_ format: () throws(AccessLogFormatError) -> AccessLogFormat) -> AccessLogProgram {
        do throws(AccessLogFormatError) {
            return try format().program(capture: HeaderCapture())
        } catch {
            preconditionFailure("a built-in access-log format does not compile: \(error)")
        }
    }

    /// Appends the record's line.
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
        let entries = matching(filter, limit)
        let table = names.current()
        return entries.reversed().map { entry in
            var line: [UInt8] = []
            let bytes = unsafe entry.span.bytes
            if let view = RequestRecordView(bytes) { append(view, table, format, to: &line) }
            return line
        }
    }

    /// Copies of the newest `limit` records that match, newest first.
    private func matching(_ filter: LogFilter, _ limit: Int) -> [[UInt8]] {
        guard limit > 0 else { return [] }
        let matcher = LogMatcher(filter)
        // Names are interned before the first record that uses them: a table made under the lock has those of every record kept.
        return withState { state -> [[UInt8]] in
            let table = names.current()
            var found: [[UInt8]] = []
            for age in 0..<state.storage.count where found.count < limit {
                let entry = unsafe state.storage.record(age: age)
                guard let view = RequestRecordView(unsafe RawSpan(_unsafeBytes: entry)),
                    matcher.matches(view, names: table)
                else { continue }
                unsafe found.append(Array(entry))
            }
            return found
        }
    }

    /// What `transform` makes of the newest `limit` records that match, oldest first.
    public func recentRecords<Value>(
        filter: LogFilter, limit: Int, _ transform: (borrowing RequestRecordView, borrowing NameTable) -> Value
    ) -> [Value] {
        let entries = matching(filter, limit)
        let table = names.current()
        var values: [Value] = []
        for entry in entries.reversed() {
            let bytes = unsafe entry.span.bytes
            if let view = RequestRecordView(bytes) { values.append(transform(view, table)) }
        }
        return values
    }

    /// Calls `sink` with whole lines, on the pump's thread, whenever records match; until it returns false or `unsubscribe`.
    ///
    /// `sink` must not block (a `Responder` does not). Nil when `tailFollowersMax` follow already. Those whose `isOpen` is false by then
    /// are let go first: one whose filter nothing matches is never handed anything, so it would stay for ever.
    public func subscribe(
        filter: LogFilter, format: LogLineFormat = .text, isOpen: @escaping @Sendable () -> Bool = { true },
        sink: @escaping @Sendable ([UInt8]) -> Bool
    ) -> LogFollowerID? {
        withState { state -> LogFollowerID? in
            state.followers.removeAll { !$0.isOpen() }
            guard state.followers.count < limits.tailFollowersMax else { return nil }
            state.lastFollower += 1
            let id = LogFollowerID(rawValue: state.lastFollower)
            state.followers.append(Follower(id: id, matcher: LogMatcher(filter), format: format, isOpen: isOpen, sink: sink))
            return id
        }
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

    /// Hands formatted lines over, outside the lock.
    func deliver() {
        let due = withState { state -> [(LogFollowerID, @Sendable ([UInt8]) -> Bool, [UInt8])] in
            var due: [(LogFollowerID, @Sendable ([UInt8]) -> Bool, [UInt8])] = []
            for index in state.followers.indices where !state.followers[index].lines.isEmpty {
                if state.followers[index].cut > 0, state.followers[index].format == .tap {
                    TapLine.appendDropped(state.followers[index].cut, to: &state.followers[index].lines)
                }
                state.followers[index].cut = 0
                due.append((state.followers[index].id, state.followers[index].sink, state.followers[index].lines))
                state.followers[index].lines = []
            }
            return due
        }
        for (id, sink, lines) in due where !sink(lines) { unsubscribe(id) }
    }
}
