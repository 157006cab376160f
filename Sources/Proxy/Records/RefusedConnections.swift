internal import Primitives
internal import TelemetryModel

/// The records of connections that end before there is a request: TLS did not come about, or none was begun where nothing else is taken. A
/// flood of them is counted and not written out. Confined to the worker's thread.
struct RefusedConnections: ~Copyable {
    /// Records of one worker within a second; further connections are counted alone.
    static let perSecondMax = 10

    private var log = RequestLog()
    private var secondBegan = MonotonicInstant(nanoseconds: 0)
    private var written = 0
    private var leftOut = 0

    /// Whether this one has a record and words of its own. Nil = no; else how many had none since the last that had.
    mutating func admit(_ now: MonotonicInstant) -> Int? {
        if now.nanoseconds(since: secondBegan) >= 1_000_000_000 {
            secondBegan = now
            written = 0
        }
        guard written < Self.perSecondMax else {
            leftOut += 1
            return nil
        }
        written += 1
        defer { leftOut = 0 }
        return leftOut
    }

    /// The record of one connection. `texts`: with the reason. `capturedFields`: as many text slots as its configuration captures.
    mutating func hand(
        _ origin: RequestOrigin, _ texts: inout ConnectionTexts, isPlaintext: Bool, unixNanoseconds: UInt64, capturedFields: Int,
        to recorder: Recorder
    ) {
        log.begin()
        log.record.note(origin, unixNanoseconds: unixNanoseconds)
        log.record.labels = origin.labels
        log.record.protocolVersion = .tcp
        if isPlaintext {
            // As Envoy: no chain of filters is for it.
            log.record.flags = .noRouteFound
            log.record.details = .filterChainNotFound
        }
        log.appendAbsent(Int(RequestText.firstCaptured) + capturedFields)
        log.note(downstream: texts)
        recorder.finishTCP(&log, durationNanoseconds: 0, isRecorded: true)
    }
}
