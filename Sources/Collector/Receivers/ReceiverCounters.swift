internal import TelemetryModel
internal import TelemetryWire

/// What became of the requests with one signal to one receiver, and of the items in them. Every item of a body that could be read counts
/// once, as stored or under the reason it was not; of a body that could not, nobody knows how many there were.
struct ReceiverCounters: Sendable {
    let bytes, stored: CollectorCounter
    let accepted, partial, malformed, unsupported, tooLarge, overloaded, unavailable, expired: CollectorCounter
    let itemsInvalid, itemsOverloaded, itemsUnavailable: CollectorCounter
    /// Of items that were stored.
    let attributesDropped, eventsDropped, linksDropped, valuesDropped, exemplarsDropped: CollectorCounter

    init(_ receiver: String, transport: String = "http", signal: TelemetrySignal, _ statistics: CollectorStatistics) {
        let base = [(name: "receiver", value: receiver), (name: "transport", value: transport)]
        let shared = base + signal.labels
        func requests(_ outcome: String) -> CollectorCounter { statistics.counter(.requests, shared + [(name: "outcome", value: outcome)]) }
        func rejected(_ reason: String) -> CollectorCounter {
            statistics.counter(.itemsRejected(signal), base + [(name: "reason", value: reason)])
        }
        func dropped(_ part: String) -> CollectorCounter { statistics.counter(.partsDropped, shared + [(name: "part", value: part)]) }
        bytes = statistics.counter(.receivedBytes, shared)
        stored = statistics.counter(.itemsReceived(signal), base)
        accepted = requests("accepted")
        partial = requests("partial")
        malformed = requests("malformed")
        unsupported = requests("unsupported")
        tooLarge = requests("too_large")
        overloaded = requests("overloaded")
        unavailable = requests("unavailable")
        expired = requests("deadline_exceeded")
        attributesDropped = dropped("attributes")
        eventsDropped = dropped("events")
        linksDropped = dropped("links")
        valuesDropped = dropped("values")
        exemplarsDropped = dropped("exemplars")
        itemsInvalid = rejected("invalid")
        itemsOverloaded = rejected("overloaded")
        itemsUnavailable = rejected("unavailable")
    }

    /// Where a request counts whose body could be read and whose good items are stored.
    func outcome(stored: Int, refused: Int) -> CollectorCounter {
        if refused == 0 { return accepted }
        return stored == 0 ? malformed : partial
    }

    func count(_ error: BodyError) {
        switch error {
        case .unknownCoding: unsupported.add()
        case .malformed: malformed.add()
        case .tooLarge: tooLarge.add()
        }
    }

    func count(_ rejection: BatchRejection, items: Int) {
        switch rejection {
        case .overloaded:
            overloaded.add()
            itemsOverloaded.add(items)
        case .unavailable:
            unavailable.add()
            itemsUnavailable.add(items)
        }
    }

    func count(_ dropped: OTLPDroppedParts) {
        attributesDropped.add(dropped.attributes)
        eventsDropped.add(dropped.events)
        linksDropped.add(dropped.links)
        valuesDropped.add(dropped.values)
    }
}
