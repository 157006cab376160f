internal import EventLoops
internal import Glibc
internal import HTTPService
internal import Primitives
internal import TelemetryModel

/// The exporter's thread.
struct ExporterLoop<Batch: TelemetryBatch>: ~Copyable {
    private let settings: ExporterSettings
    private let encoding: any ExporterEncoding<Batch>
    private let path: String
    private let queue: SignalQueue<Batch>
    private let mailbox: Mailbox<Bool>
    private let end: ExporterEnd
    private let counters: ExporterCounters
    private let say: @Sendable (String) -> Void
    private var random: RandomSource
    private var connection: ExporterConnection
    private var isFailing = false
    /// A connection that was not used for this long is closed: the server's own idle limit is near.
    private static var idleNanoseconds: UInt64 { 30_000_000_000 }

    private enum Verdict { case accepted, rejected(status: UInt16), retry(String, afterSeconds: UInt64?) }

    init(
        settings: ExporterSettings, encoding: any ExporterEncoding<Batch>, queue: SignalQueue<Batch>, mailbox: Mailbox<Bool>,
        end: ExporterEnd, counters: ExporterCounters, seed: UInt64, say: @escaping @Sendable (String) -> Void
    ) {
        self.settings = settings
        self.encoding = encoding
        path = settings.path.isEmpty ? encoding.path : settings.path
        self.queue = queue
        self.mailbox = mailbox
        self.end = end
        self.counters = counters
        self.say = say
        random = RandomSource(seed: seed)
        connection = ExporterConnection(host: settings.host, port: settings.port, tls: settings.tls)
        connection.readsAnswers = encoding.readsAnswers
    }

    mutating func run() {
        while true {
            let batches = queue.take(itemsMax: settings.itemsPerRequestMax)
            if batches.isEmpty {
                if end.isSet { return }
                if !sleep(until: SystemClock.monotonicNow() + Self.idleNanoseconds) { connection.disconnect() }
                continue
            }
            deliver(batches)
        }
    }

    /// The signal's items in sentences.
    private var items: String { Batch.signal.items.replacing("_", with: " ") }

    private mutating func deliver(_ batches: [Batch]) {
        let count = batches.reduce(0) { $0 + $1.itemCount }
        var body: [UInt8] = []
        encoding.append(batches, to: &body)
        var request = request(body)
        var isPlainer = false
        for attempt in 1... {
            if SystemClock.monotonicNow() >= end.instant {
                counters.shutdown.add(count)
                return
            }
            switch send(request) {
            case .accepted:
                counters.requestsAccepted.add()
                counters.sent.add(count)
                if isPlainer, let notice = encoding.notePlainer() { say("exporter \(settings.name): \(target): \(notice)") }
                if isFailing { say("exporter \(settings.name): \(target) takes \(items) again") }
                isFailing = false
                return
            case .rejected(let status):
                if status == 400, !isPlainer, let other = plainer(batches) {
                    request = other
                    isPlainer = true
                    continue
                }
                counters.requestsRejected.add()
                counters.rejected.add(count)
                complain("refused \(count) \(items): HTTP status \(status)")
                return
            case .retry(let reason, let afterSeconds):
                counters.requestsRetried.add()
                complain(reason)
                guard attempt < settings.attemptsMax else {
                    counters.exhausted.add(count)
                    return
                }
                pause(attempt, afterSeconds)
            }
        }
    }

    /// The same batches for a receiver that knows less; nil = there is no other form.
    private func plainer(_ batches: [Batch]) -> BlockingRequest? {
        var body: [UInt8] = []
        return encoding.appendPlainer(batches, to: &body) ? request(body) : nil
    }

    private var target: String { "\(settings.tls == nil ? "http" : "https")://\(settings.host):\(settings.port)\(path)" }

    /// Says the first failure after a success; the rest is in the counters.
    private mutating func complain(_ reason: String) {
        if !isFailing { say("exporter \(settings.name): \(target): \(reason)") }
        isFailing = true
    }

    private func request(_ body: [UInt8]) -> BlockingRequest {
        let host = settings.host.contains(":") && !settings.host.hasPrefix("[") ? "[\(settings.host)]" : settings.host
        let fields = encoding.fields + [("User-Agent", "skein")]
        return BlockingRequest("POST", path, host: "\(host):\(settings.port)", fields: fields, body: body)
    }

    private mutating func send(_ request: BlockingRequest) -> Verdict {
        let start = SystemClock.monotonicNow()
        let timeout = start + settings.requestTimeoutNanoseconds
        let end = end
        do throws(ExporterConnection.Failure) {
            let answer = try connection.exchange(
                request, connectDeadline: start + settings.connectTimeoutNanoseconds, deadline: { min(timeout, end.instant) })
            switch encoding.verdict(status: answer.status) {
            case .accepted:
                if encoding.readsAnswers { encoding.readAnswer(answer.body) }
                return .accepted
            case .retried: return .retry("HTTP status \(answer.status)", afterSeconds: answer.retryAfterSeconds)
            case .rejected: return .rejected(status: answer.status)
            }
        } catch {
            switch error {
            case .connect(let reason), .broken(let reason): return .retry(reason, afterSeconds: nil)
            case .timedOut: return .retry("no answer in time", afterSeconds: nil)
            }
        }
    }

    /// Doubles from one attempt to the next, with half of it random so that many senders do not come back together. A `Retry-After` is
    /// a lower bound, up to the longest pause.
    private mutating func pause(_ attempt: Int, _ afterSeconds: UInt64?) {
        let doubled = settings.backoffNanosecondsMin.multipliedReportingOverflow(by: 1 << UInt64(min(attempt - 1, 20)))
        let ceiling = doubled.overflow ? settings.backoffNanosecondsMax : min(doubled.partialValue, settings.backoffNanosecondsMax)
        let half = ceiling / 2
        var length = half &+ UInt64(Double(half) * Double(random.below(1 << 20)) / Double(1 << 20))
        if let afterSeconds {
            let asked = afterSeconds.multipliedReportingOverflow(by: 1_000_000_000)
            length = max(length, min(asked.overflow ? .max : asked.partialValue, settings.backoffNanosecondsMax))
        }
        // While shutting down there is no time for pauses, but hammering helps nobody either.
        let until = SystemClock.monotonicNow() + length
        while SystemClock.monotonicNow() < until {
            if end.isSet, SystemClock.monotonicNow() >= end.instant { return }
            _ = sleep(until: min(until, end.instant))
        }
    }

    /// Sleeps until `deadline` or until somebody wakes the mailbox; whether somebody did.
    private func sleep(until deadline: MonotonicInstant) -> Bool {
        var waiting = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
        let left = deadline.nanoseconds(since: SystemClock.monotonicNow())
        let isWoken = unsafe poll(&waiting, 1, left == 0 ? 0 : Int32(clamping: left / 1_000_000 + 1)) > 0
        if isWoken { _ = mailbox.take() }
        return isWoken
    }
}
