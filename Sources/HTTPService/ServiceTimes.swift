internal import HTTP
internal import Primitives

/// How long a client may take. A connection has one timer, which goes off at the earliest time that could matter when it was set; what is
/// true by then is looked at, and nothing is set anew for every byte.
extension ServiceLoop {
    mutating func setTimer(_ id: SlotID, at instant: MonotonicInstant) {
        guard let connection = unsafe connections.pointer(id), unsafe instant < connection.pointee.timerAt else { return }
        unsafe timers.cancel(connection.pointee.timer)
        unsafe connection.pointee.timerAt = instant
        unsafe connection.pointee.timer = timers.arm(token(id), at: instant)
    }

    /// Ends what has taken too long, and sets the timer for what may.
    mutating func checkTimes(_ id: SlotID, _ connection: ConnectionPointer) {
        if unsafe connection.pointee.isLingering {
            let end = unsafe connection.pointee.activeAt + limits.lingerNanoseconds
            if end <= now { close(id) } else { setTimer(id, at: end) }
            return
        }
        var next = now + limits.stallTimeoutNanoseconds
        if unsafe connection.pointee.isBlocked {
            let end = unsafe connection.pointee.activeAt + limits.stallTimeoutNanoseconds
            if end <= now { return close(id) }
            next = min(next, end)
        }
        if let began = unsafe connection.pointee.headBeganAt {
            let end = began + limits.headerTimeoutNanoseconds
            if end <= now { return unsafe refuseHead(id, connection) }
            next = min(next, end)
        }
        let open = unsafe connection.pointee.exchanges
        for exchange in open {
            if let end = unsafe checkTimes(of: exchange, connection) { next = min(next, end) }
        }
        let isQuiet = unsafe connection.pointee.output.isEmpty && connection.pointee.headBeganAt == nil
        if unsafe isQuiet && connection.pointee.exchanges.isEmpty {
            let end = unsafe connection.pointee.activeAt + limits.idleTimeoutNanoseconds
            if end <= now {
                unsafe connection.pointee.http.goAway()
                markDirty(id)
                // Whatever does not end then, ends with the next look.
                unsafe connection.pointee.isEnding = true
            } else {
                next = end
            }
        }
        setTimer(id, at: next)
    }

    /// A request being handled is our own slowness, not the client's. Over HTTP/2 an answer may wait for a window that never opens.
    private mutating func checkTimes(of id: SlotID, _ connection: ConnectionPointer) -> MonotonicInstant? {
        guard let exchange = unsafe exchanges.pointer(id) else { return nil }
        switch unsafe exchange.pointee.phase {
        case .receiving: break
        case .handling, .streaming: return nil
        case .answered:
            let waiting = unsafe connection.pointee.http.waiting(stream: exchange.pointee.stream)
            guard unsafe connection.pointee.http.isHTTP2, waiting > 0 else { return nil }
            if unsafe waiting != exchange.pointee.waitingBytes {
                unsafe exchange.pointee.waitingBytes = waiting
                unsafe exchange.pointee.activeAt = now
            }
        }
        let end = unsafe exchange.pointee.activeAt + limits.stallTimeoutNanoseconds
        if end > now { return end }
        if unsafe exchange.pointee.phase == .receiving {
            refuse(id, 408, "the request did not arrive in time")
        } else {
            statistics.add(statistics.streamsCut)
            cut(id)
        }
        return nil
    }

    private mutating func refuseHead(_ id: SlotID, _ connection: ConnectionPointer) {
        unsafe connection.pointee.headBeganAt = nil
        guard let refusal = unsafe connection.pointee.http.refuseHead(408, "the request did not arrive in time") else { return close(id) }
        unsafe answer(connection, refusal)
        markDirty(id)
        setTimer(id, at: now + limits.stallTimeoutNanoseconds)
    }
}
