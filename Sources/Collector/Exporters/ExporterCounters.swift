internal import TelemetryModel

/// What became of one exporter's items and requests.
struct ExporterCounters: Sendable {
    let sent, waiting, queueFull, shutdown, rejected, exhausted: CollectorCounter
    let requestsAccepted, requestsRetried, requestsRejected: CollectorCounter

    init(_ name: String, _ signal: TelemetrySignal, _ statistics: CollectorStatistics) {
        func dropped(_ reason: String) -> CollectorCounter {
            statistics.counter(.itemsGivenUp(signal), [("exporter", name), ("reason", reason)])
        }
        func requests(_ outcome: String) -> CollectorCounter {
            statistics.counter(.exportRequests, [("exporter", name)] + signal.labels + [("outcome", outcome)])
        }
        sent = statistics.counter(.itemsExported(signal), [("exporter", name)])
        waiting = statistics.counter(.itemsQueued(signal), [("exporter", name)])
        queueFull = dropped("queue_full")
        shutdown = dropped("shutdown")
        rejected = dropped("rejected")
        exhausted = dropped("attempts_exhausted")
        requestsAccepted = requests("accepted")
        requestsRetried = requests("retried")
        requestsRejected = requests("rejected")
    }
}
