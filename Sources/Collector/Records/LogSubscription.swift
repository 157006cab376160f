internal import Primitives
internal import TelemetryModel

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

/// How lines are told apart on the way to a follower.
public enum LogFraming: Sendable {
    /// One line each.
    case lines
    /// Server-sent events (`LogEvents`); for formats of JSON.
    case events
}

/// Where a follower begins.
public enum LogStart: Sendable {
    /// With so many of the newest records that match.
    case newest(Int)
    /// With what is kept of the records behind this one.
    case after(LogPosition)
}

/// What somebody who follows the log wants of it.
public struct LogSubscription: Sendable {
    public var filter: LogFilter
    public var format: LogLineFormat
    public var framing: LogFraming
    public var start: LogStart

    public init(
        filter: LogFilter = LogFilter(), format: LogLineFormat = .text, framing: LogFraming = .lines, start: LogStart = .newest(0)
    ) {
        precondition(framing == .lines || format != .text, "text may have line feeds of its own, which would end an event")
        self.filter = filter
        self.format = format
        self.framing = framing
        self.start = start
    }
}

/// One client that follows the log.
public struct LogFollowerID: Hashable, Sendable {
    let rawValue: UInt64
}

/// A client that follows, and the lines that wait for it. Touched under the lock of `LogTail` only.
struct LogFollower {
    let id: LogFollowerID
    let matcher: LogMatcher
    let format: LogLineFormat
    let framing: LogFraming
    let isOpen: @Sendable () -> Bool
    let sink: @Sendable ([UInt8]) -> Bool
    /// Its answer has begun: before, lines wait for it.
    var hasBegun = false
    var lines: [UInt8] = []
    /// Lines that there was no room for since the last delivery.
    var cut: UInt64 = 0
    /// When it was last sent something; nil = never.
    var deliveredAt: MonotonicInstant?

    /// The lines for it since the last time, with what it lacks or that nothing has come for long; nil = nothing to be said yet.
    mutating func takeLines(_ position: LogPosition, heartbeatNanoseconds: UInt64, now: MonotonicInstant) -> [UInt8]? {
        guard hasBegun else { return nil }
        if lines.isEmpty, cut == 0 {
            let sinceLast = now.nanoseconds(since: deliveredAt ?? now)
            deliveredAt = deliveredAt ?? now
            guard framing == .events, sinceLast >= heartbeatNanoseconds else { return nil }
            LogEvents.appendHeartbeat(position, to: &lines)
        }
        if cut > 0 {
            switch framing {
            case .events: LogEvents.appendGap(.slowFollower, requests: cut, to: &lines)
            case .lines: if format == .tap { TapLine.appendDropped(cut, to: &lines) }
            }
            cut = 0
        }
        deliveredAt = now
        defer { lines = [] }
        return lines
    }
}
