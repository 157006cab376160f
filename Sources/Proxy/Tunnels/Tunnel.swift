internal import HTTP
internal import Primitives
internal import TelemetryModel

/// A connection whose bytes pass untouched: TCP from its first byte on, or what a request was switched to (RFC 9110 7.8). Each direction
/// ends on its own.
struct Tunnel: ~Copyable {
    enum Kind {
        case tcp
        /// It was a request; counted and recorded as one.
        case upgrade
    }

    var kind = Kind.tcp
    var origin = RequestOrigin()
    var epoch = SlotID.none
    var start = MonotonicInstant(nanoseconds: 0)
    var attempt = Attempt()
    var log = RequestLog()
    /// Where it goes, while an external authorizer is asked about it (`check`); none = nobody is.
    var cluster = -1
    var check = SlotID.none
    /// Nothing may stand still for longer, nanoseconds; `UInt64.max` = it may for ever.
    var idleNanoseconds = UInt64.max
    /// The endpoint, an HTTP proxy, has not said yet that it is connected further.
    var awaitsConnect = false
    var answerScan = HeadScan()
    /// Sides that send no more.
    var isClientEnded = false
    var isEndpointEnded = false
    /// It is counted as opened; bytes already reported to the counters.
    private var isCounted = false
    private var countedSent: UInt64 = 0
    private var countedReceived: UInt64 = 0
    var timeTimer = TimerWheel.TimerID.none
    var reportTimer = TimerWheel.TimerID.none

    init() {}

    mutating func begin(_ kind: Kind, _ origin: RequestOrigin, epoch: SlotID, start: MonotonicInstant) {
        self.kind = kind
        self.origin = origin
        self.epoch = epoch
        self.start = start
        attempt = Attempt()
        log.begin()
        cluster = -1
        check = .none
        idleNanoseconds = .max
        awaitsConnect = false
        answerScan = HeadScan()
        isClientEnded = false
        isEndpointEnded = false
        isCounted = false
        countedSent = 0
        countedReceived = 0
        timeTimer = .none
        reportTimer = .none
    }

    /// Begins the record of a connection. `captured`: request fields that records have room for.
    mutating func startRecord(
        _ serverName: LentBytes, captured: Int, _ limits: borrowing ProxyLimits, unixNanoseconds: UInt64
    ) {
        log.record.note(origin, unixNanoseconds: unixNanoseconds)
        log.record.protocolVersion = .tcp
        idleNanoseconds = limits.tcpIdleTimeoutNanoseconds
        let place = Int(RequestText.serverName.rawValue)
        log.appendAbsent(place)
        log.append(serverName.isEmpty ? nil : serverName, upTo: limits.recordTextBytesMax)
        log.appendAbsent(Int(RequestText.firstCaptured) + captured - place - 1)
    }

    /// Gives it an endpoint; the answer where there is none.
    mutating func enter(
        _ picking: EndpointPicking, _ upstreams: inout Upstreams, _ epoch: inout Epoch, _ draw: inout RandomSource
    ) -> LocalAnswer? {
        AttemptBeginning.enter(&attempt, &log.record, picking, origin, &upstreams, &epoch, draw: &draw)
    }

    var isOver: Bool { isClientEnded && isEndpointEnded }

    func elapsed(_ now: MonotonicInstant) -> UInt64 { now.nanoseconds(since: start) }

    /// One more of its kind; nil = it was counted. Also of one that is refused: whatever is counted as closed was counted as opened.
    mutating func countOpened() -> TCPSeries? {
        guard kind == .tcp, !isCounted else { return nil }
        isCounted = true
        var series = TCPSeries(labels: log.record.labels, side: log.record.side)
        series.connectionsOpened = 1
        return series
    }

    /// What has moved since the last report; nil = nothing. `isClosed`: it ends with this.
    mutating func report(isClosed: Bool) -> TCPSeries? {
        guard kind == .tcp else { return nil }
        var series = TCPSeries(labels: log.record.labels, side: log.record.side, flags: isClosed ? log.record.flags : [])
        series.receivedBytes = log.record.requestBodyBytes &- countedReceived
        series.sentBytes = log.record.responseBodyBytes &- countedSent
        series.connectionsClosed = isClosed ? 1 : 0
        countedReceived = log.record.requestBodyBytes
        countedSent = log.record.responseBodyBytes
        return isClosed || series.receivedBytes > 0 || series.sentBytes > 0 ? series : nil
    }
}
