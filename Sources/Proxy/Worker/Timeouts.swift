internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Deadlines. A connection has one timer; moving its deadline later costs a store, and the timer finds out when it fires.
extension ProxyWorker {
    mutating func setDeadline(ofDownstream id: SlotID, _ meaning: DownstreamConnection.Deadline, after nanoseconds: UInt64) {
        guard let connection = unsafe downstreams.pointer(id) else { return }
        let deadline = now + nanoseconds
        unsafe connection.pointee.deadline = deadline
        unsafe connection.pointee.deadlineMeaning = meaning
        guard unsafe deadline < connection.pointee.timerAt else { return }
        unsafe timers.cancel(connection.pointee.timer)
        unsafe connection.pointee.timerAt = deadline
        unsafe connection.pointee.timer = timers.arm(Token(.downstream, id).rawValue, at: deadline)
    }

    /// Something of the request moved: the stream's idle timeout begins anew.
    mutating func touch(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe exchange.pointee.isHTTP2Downstream else {
            let isTCP = unsafe exchange.pointee.flags.contains(.isTCP)
            if isTCP {
                let index = unsafe exchange.pointee.clusterIndex
                let idle = unsafe index >= 0 ? tables(exchange).cluster(Int(index)).tcpIdleTimeoutNanoseconds : limits.tcpIdleTimeoutNanoseconds
                unsafe setDeadline(ofDownstream: exchange.pointee.downstream, .stream, after: idle == 0 ? .max : idle)
                return
            }
            unsafe setDeadline(ofDownstream: exchange.pointee.downstream, .stream, after: limits.streamIdleTimeoutNanoseconds)
            return
        }
        unsafe exchange.pointee.idleDeadline = now + limits.streamIdleTimeoutNanoseconds
        if unsafe exchange.pointee.idleTimer == .none {
            unsafe exchange.pointee.idleTimer = timers.arm(Token(.streamIdle, id).rawValue, at: exchange.pointee.idleDeadline)
        }
    }

    private mutating func streamIdleTimerFired(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        unsafe exchange.pointee.idleTimer = .none
        if unsafe now < exchange.pointee.idleDeadline {
            unsafe exchange.pointee.idleTimer = timers.arm(Token(.streamIdle, id).rawValue, at: exchange.pointee.idleDeadline)
            return
        }
        streamStoodStill(id)
    }

    mutating func setDeadline(ofUpstream id: SlotID, after nanoseconds: UInt64) {
        guard let upstream = unsafe upstreams.pointer(id) else { return }
        let deadline = now + nanoseconds
        unsafe upstream.pointee.deadline = deadline
        guard unsafe deadline < upstream.pointee.timerAt else { return }
        unsafe timers.cancel(upstream.pointee.timer)
        unsafe upstream.pointee.timerAt = deadline
        unsafe upstream.pointee.timer = timers.arm(Token(.upstream, id).rawValue, at: deadline)
    }

    mutating func fireTimers() {
        firedTimers.removeAll(keepingCapacity: true)
        timers.advance(to: now, fired: &firedTimers)
        for index in firedTimers.indices {
            let token = Token(rawValue: firedTimers[index])
            switch token.kind {
            case .downstream: downstreamTimerFired(token.id)
            case .upstream: upstreamTimerFired(token.id)
            case .exchange: routeTimedOut(token.id)
            case .listenerResume: resumeListener(Int(token.id.index))
            case .streamIdle: streamIdleTimerFired(token.id)
            case .attempt: attemptTimerFired(token.id)
            case .mailbox, .listener, nil: break
            }
        }
    }

    private mutating func downstreamTimerFired(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed else { return }
        unsafe connection.pointee.timerAt = .distantFuture
        if unsafe now < connection.pointee.deadline {
            let deadline = unsafe connection.pointee.deadline
            unsafe connection.pointee.timerAt = deadline
            unsafe connection.pointee.timer = timers.arm(Token(.downstream, id).rawValue, at: deadline)
            return
        }
        if let session = unsafe connection.pointee.session, unsafe connection.pointee.deadlineMeaning != .linger {
            // Requests have deadlines of their own; the connection goes when none is open.
            if unsafe session.pointee.openStreams > 0 {
                setDeadline(ofDownstream: id, .idle, after: limits.idleTimeoutNanoseconds)
            } else {
                unsafe session.pointee.goAway()
                unsafe connection.pointee.closesAfterFlush = true
                markDirty(downstream: id)
            }
            return
        }
        switch unsafe connection.pointee.deadlineMeaning {
        case .idle, .linger: closeDownstream(id)
        case .detection: detectionTimedOut(id)
        case .header: headerTimedOut(id)
        case .stream: streamTimedOut(id)
        }
    }

    private mutating func headerTimedOut(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id) else { return }
        guard unsafe connection.pointee.exchange.isNone else { return }
        unsafe answerUnread(
            id, 408, .requestHeaderTimeout, body: "the request's header section did not arrive in time", connection.pointee.input.readable)
    }

    private mutating func streamTimedOut(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id) else { return }
        let exchangeID = unsafe connection.pointee.exchange
        guard unsafe exchanges.pointer(exchangeID) != nil else {
            // The response is complete but the client never took it.
            closeDownstream(id)
            return
        }
        streamStoodStill(exchangeID)
    }

    private mutating func streamStoodStill(_ exchangeID: SlotID) {
        guard let exchange = unsafe exchanges.pointer(exchangeID) else { return }
        if unsafe exchange.pointee.flags.contains(.isTunnel) {
            unsafe exchange.pointee.record.flags.insert(.streamIdleTimeout)
            unsafe closeTunnel(exchange)
        } else if unsafe exchange.pointee.flags.contains(.responseStarted) {
            unsafe exchange.pointee.record.flags.insert(.streamIdleTimeout)
            unsafe exchange.pointee.record.details = .streamIdleTimeout
            cutResponse(exchangeID)
        } else {
            let isComplete = unsafe exchange.pointee.flags.contains(.requestComplete)
            reply(exchangeID, isComplete ? 504 : 408, .streamIdleTimeout, [.streamIdleTimeout], body: "stream timeout", closes: true)
        }
    }

    private mutating func upstreamTimerFired(_ id: SlotID) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state != .closed else { return }
        unsafe upstream.pointee.timerAt = .distantFuture
        if unsafe now < upstream.pointee.deadline {
            let deadline = unsafe upstream.pointee.deadline
            if deadline == .distantFuture { return }
            unsafe upstream.pointee.timerAt = deadline
            unsafe upstream.pointee.timer = timers.arm(Token(.upstream, id).rawValue, at: deadline)
            return
        }
        switch unsafe upstream.pointee.state {
        case .idle: closeUpstream(id)
        case .connecting:
            connectFailed(id, .connectionTimeout)
        case .active:
            if let session = unsafe upstream.pointee.session, unsafe session.pointee.openStreams == 0 { closeUpstream(id) }
            if let exchange = unsafe exchanges.pointer(upstream.pointee.exchange), unsafe exchange.pointee.flags.contains(.awaitsTunnel) { connectFailed(id, .connectionTimeout) }
        case .closed: break
        }
    }

    /// The route's timeout covers the whole request (semantics 2.3).
    private mutating func routeTimedOut(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        unsafe exchange.pointee.timer = .none
        if unsafe exchange.pointee.flags.contains(.isTCP) {
            unsafe exchange.pointee.record.flags.insert(.durationTimeout)
            unsafe exchange.pointee.record.details = .maxDurationTimeout
            unsafe closeTunnel(exchange)
            return
        }
        // An upgraded connection has had its response.
        if unsafe exchange.pointee.flags.contains(.isTunnel) { return }
        if unsafe exchange.pointee.flags.contains(.responseStarted) {
            unsafe exchange.pointee.record.flags.insert(.upstreamRequestTimeout)
            unsafe exchange.pointee.record.details = .upstreamResponseTimeout
            cutResponse(id)
        } else {
            unsafe judge(exchange, .timedOut)
            if unsafe exchange.pointee.flags.contains(.hasGRPCTimeout) {
                unsafe exchange.pointee.localGRPCStatus = 4
                reply(id, 504, .maxDurationTimeout, [.durationTimeout], body: "upstream max stream duration reached", closes: false)
                return
            }
            reply(id, 504, .upstreamResponseTimeout, [.upstreamRequestTimeout], body: "upstream request timeout", closes: false)
        }
    }
}
