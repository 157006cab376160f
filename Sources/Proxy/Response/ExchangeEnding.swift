internal import EventLoops
internal import HTTP
internal import Primitives
internal import Synchronization
internal import TelemetryModel

/// The last moments of a request: connections go their ways, counters count, the record leaves for the collector.
extension ProxyWorker {
    /// The response is out (or in the output buffer) to its last byte.
    mutating func completeExchange(_ id: SlotID, upstreamReusable: Bool) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        let downstreamID = unsafe exchange.pointee.downstream
        unsafe releaseAttempt(id, exchange, upstreamReusable: upstreamReusable)
        if unsafe exchange.pointee.isHTTP2Downstream {
            unsafe releaseStream(exchange)
            finish(id)
            return
        }
        let keepsAlive = unsafe exchange.pointee.flags.contains(.keepsAlive) && exchange.pointee.flags.contains(.requestComplete)
        finish(id)
        guard let connection = unsafe downstreams.pointer(downstreamID), unsafe !connection.pointee.isClosed else { return }
        guard keepsAlive else {
            if unsafe connection.pointee.output.isEmpty { lingerOrClose(downstreamID) } else { unsafe connection.pointee.closesAfterFlush = true }
            return
        }
        setDeadline(ofDownstream: downstreamID, .idle, after: limits.idleTimeoutNanoseconds)
        if unsafe connection.pointee.isReadable || !connection.pointee.input.isEmpty { resumeLater(downstream: downstreamID) }
        if unsafe connection.pointee.isEndOfStream && connection.pointee.input.isEmpty {
            if unsafe connection.pointee.output.isEmpty { closeDownstream(downstreamID) } else { unsafe connection.pointee.closesAfterFlush = true }
        }
    }

    /// The attempt has done its work.
    private mutating func releaseAttempt(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, upstreamReusable: Bool) {
        guard let upstream = unsafe upstreams.pointer(exchange.pointee.upstream), let session = unsafe upstream.pointee.session else {
            unsafe releaseUpstream(exchange.pointee.upstream, isReusable: upstreamReusable)
            unsafe exchange.pointee.upstream = .none
            return
        }
        if unsafe exchange.pointee.flags.isSuperset(of: [.upstreamEnded, .endSent]) {
            let stream = unsafe exchange.pointee.upstreamStream
            unsafe session.pointee.consume(exchange.pointee.upstreamUnconsumed, stream: stream)
            unsafe session.pointee.detach(stream: stream)
            unsafe markDirty(upstream: exchange.pointee.upstream)
            unsafe exchange.pointee.upstreamUnconsumed = 0
            unsafe exchange.pointee.upstream = .none
            unsafe exchange.pointee.upstreamStream = 0
        } else {
            unsafe abandonAttempt(id, exchange)
        }
    }

    /// The client's stream goes on without the exchange: what waits on it is still sent.
    private mutating func releaseStream(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let session = unsafe downstreamSession(exchange) else { return }
        unsafe session.pointee.consume(exchange.pointee.downstreamUnconsumed, stream: exchange.pointee.downstreamStream)
        unsafe exchange.pointee.downstreamUnconsumed = 0
        unsafe session.pointee.detach(stream: exchange.pointee.downstreamStream)
        unsafe markDirty(downstream: exchange.pointee.downstream)
    }

    /// The response has begun and cannot be finished: end it so that nobody takes it for whole.
    mutating func cutResponse(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        let downstreamID = unsafe exchange.pointee.downstream
        if unsafe exchange.pointee.isHTTP2Downstream || exchange.pointee.flags.contains(.isShadow) {
            unsafe abandonAttempt(id, exchange)
            if let session = unsafe downstreamSession(exchange) {
                unsafe session.pointee.cut(stream: exchange.pointee.downstreamStream, code: HTTP2ErrorCode.internalError)
                markDirty(downstream: downstreamID)
            }
            finish(id)
            return
        }
        sendAssembly(downstreamID)
        unsafe abandonAttempt(id, exchange)
        // Where the end of the connection is the end of the body, only a reset tells the difference.
        let isCloseDelimited = unsafe !exchange.pointee.flags.contains(.chunksResponse)
            && (exchange.pointee.responseFraming == .untilClose || exchange.pointee.responseFraming == .chunked)
        finish(id)
        guard let connection = unsafe downstreams.pointer(downstreamID), unsafe !connection.pointee.isClosed else { return }
        if isCloseDelimited {
            unsafe connection.pointee.isClosed = true
            unsafe timers.cancel(connection.pointee.timer)
            unsafe Socket.reset(connection.pointee.fd)
            closedDownstream.append(downstreamID)
        } else if unsafe connection.pointee.output.isEmpty {
            closeDownstream(downstreamID)
        } else {
            unsafe connection.pointee.closesAfterFlush = true
        }
    }

    /// Counts the request and hands its record over. Its handle is stale from here on, so that nothing else that happens in this turn can end it again;
    /// pointers to it are good until the turn's end, when it is parked.
    mutating func finish(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        exchanges.retire(id)
        finishedExchanges.append(id)
        if let connection = unsafe downstreams.pointer(exchange.pointee.downstream), unsafe connection.pointee.exchange == id {
            unsafe connection.pointee.exchange = .none
        }
        unsafe timers.cancel(exchange.pointee.timer)
        unsafe timers.cancel(exchange.pointee.attemptTimer)
        unsafe timers.cancel(exchange.pointee.idleTimer)
        unsafe endBackOff(exchange)
        unsafe leavePool(exchange)
        unsafe releaseRetry(exchange)
        unsafe releaseShadows(exchange)
        unsafe leaveEpoch(exchange.pointee.epoch)
        let duration = unsafe now.nanoseconds(since: exchange.pointee.start)
        unsafe exchange.pointee.record.times.downstreamSendEnd = duration
        if unsafe exchange.pointee.flags.contains(.isShadow) { return }
        if unsafe exchange.pointee.flags.contains(.isTCP) {
            unsafe reportTCP(exchange, closed: 1)
        } else {
            unsafe count(exchange, durationNanoseconds: duration)
        }
        if unsafe needsRecord(exchange) { unsafe emitRecord(exchange) }
    }

    private mutating func count(_ exchange: UnsafeMutablePointer<Exchange>, durationNanoseconds: UInt64) {
        var key = unsafe SeriesKey(
            labels: exchange.pointee.record.labels, responseCode: exchange.pointee.record.responseCode, flags: exchange.pointee.record.flags,
            side: exchange.pointee.record.side)
        unsafe key.isGRPC = exchange.pointee.flags.contains(.isGRPC)
        unsafe key.grpcStatus = exchange.pointee.record.grpcStatus
        var sample = REDSample()
        sample.durationMicroseconds = durationNanoseconds / 1000
        sample.requestBytes = unsafe UInt64(exchange.pointee.record.requestHeaderBytes) &+ exchange.pointee.record.requestBodyBytes
        sample.responseBytes = unsafe UInt64(exchange.pointee.record.responseHeaderBytes) &+ exchange.pointee.record.responseBodyBytes
        if unsafe exchange.pointee.record.isSampled {
            sample.traceID = unsafe exchange.pointee.record.traceID
            sample.spanID = unsafe exchange.pointee.record.spanID
            sample.unixMilliseconds = unix(now) / 1_000_000
        }
        shard.use { $0.record(key, sample) }
    }

    private mutating func emitRecord(_ exchange: UnsafeMutablePointer<Exchange>) {
        let slots = unsafe exchange.pointee.textCount
        unsafe exchange.pointee.record.textCount = UInt8(truncatingIfNeeded: slots)
        let textBytes = unsafe exchange.pointee.text.count
        let attempts = unsafe Int(exchange.pointee.record.earlierAttempts)
        let attemptsOffset = RequestRecordView.lengthsOffset + 2 * slots + textBytes
        let size = attemptsOffset + attempts * MemoryLayout<AttemptRecord>.stride
        guard let out = unsafe ring.use({ unsafe $0.reserve(size) }) else { return }
        unsafe out.storeBytes(of: exchange.pointee.record, as: RequestRecord.self)
        for slot in 0..<slots {
            unsafe out.storeBytes(of: exchange.pointee.textLengths[slot], toByteOffset: RequestRecordView.lengthsOffset + 2 * slot, as: UInt16.self)
        }
        if textBytes > 0, let text = unsafe exchange.pointee.text.readable.baseAddress {
            unsafe (out + RequestRecordView.lengthsOffset + 2 * slots).copyMemory(from: text, byteCount: textBytes)
        }
        for index in 0..<attempts {
            unsafe out.storeBytes(
                of: exchange.pointee.earlier[index], toByteOffset: attemptsOffset + index * MemoryLayout<AttemptRecord>.stride, as: AttemptRecord.self)
        }
        ring.use { $0.publish(size) }
    }
}
