internal import HTTP
internal import Primitives
internal import Streams

/// How long a client may take. A connection has one timer, which goes off at the earliest time that could matter when it was set; what is
/// true by then is looked at, and nothing is set anew for every byte.
extension ServiceLoop {
    mutating func setTimer(_ id: SlotID, at instant: MonotonicInstant) {
        guard connections.contains(id), instant < connections[id].timerAt else { return }
        timers.cancel(connections[id].timer)
        connections[id].timerAt = instant
        connections[id].timer = timers.arm(token(id), at: instant)
    }

    /// Ends what has taken too long, and sets the timer for what may.
    mutating func checkTimes(_ id: SlotID) {
        if connections[id].isLingering {
            let end = connections[id].activeAt + limits.lingerNanoseconds
            if end <= now { close(id) } else { setTimer(id, at: end) }
            return
        }
        if connections[id].opening != .done, handshakes.isSecured(connections[id]) {
            let end = connections[id].activeAt + limits.handshakeTimeoutNanoseconds
            guard end <= now else { return setTimer(id, at: end) }
            handshakes.expire(&connections[id], now: now)
            return close(id)
        }
        var next = now + limits.stallTimeoutNanoseconds
        if connections[id].isBlocked {
            let end = connections[id].activeAt + limits.stallTimeoutNanoseconds
            if end <= now { return close(id) }
            next = min(next, end)
        }
        if let began = connections[id].headBeganAt {
            let end = began + limits.headerTimeoutNanoseconds
            if end <= now { return refuseHead(id) }
            next = min(next, end)
        }
        let open = connections[id].exchanges
        for exchange in open {
            if let end = checkTimes(of: exchange) { next = min(next, end) }
        }
        let isQuiet = connections[id].stream.output.isEmpty && connections[id].headBeganAt == nil
        if isQuiet && connections[id].exchanges.isEmpty {
            let end = connections[id].activeAt + limits.idleTimeoutNanoseconds
            if end <= now {
                connections[id].http.goAway()
                markDirty(id)
                // Whatever does not end then, ends with the next look.
                connections[id].isEnding = true
            } else {
                next = end
            }
        }
        setTimer(id, at: next)
    }

    /// A request being handled is our own slowness, not the client's. Over HTTP/2 an answer may wait for a window that never opens.
    private mutating func checkTimes(of id: SlotID) -> MonotonicInstant? {
        guard let connection = connection(of: id) else { return nil }
        switch exchanges[id].phase {
        case .receiving: break
        case .handling, .streaming: return nil
        case .answered:
            let waiting = connections[connection].http.waiting(stream: exchanges[id].stream)
            guard connections[connection].http.isHTTP2, waiting > 0 else { return nil }
            if waiting != exchanges[id].waitingBytes {
                exchanges[id].waitingBytes = waiting
                exchanges[id].activeAt = now
            }
        }
        let end = exchanges[id].activeAt + limits.stallTimeoutNanoseconds
        if end > now { return end }
        if exchanges[id].phase == .receiving {
            refuse(id, 408, "the request did not arrive in time")
        } else {
            statistics.add(statistics.streamsCut)
            cut(id)
        }
        return nil
    }

    private mutating func refuseHead(_ id: SlotID) {
        connections[id].headBeganAt = nil
        guard let refusal = connections[id].http.refuseHead(408, "the request did not arrive in time") else { return close(id) }
        answer(id, refusal)
        markDirty(id)
        setTimer(id, at: now + limits.stallTimeoutNanoseconds)
    }
}
