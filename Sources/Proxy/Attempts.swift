internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import TelemetryModel

/// How an attempt came to nothing before its response began.
enum AttemptFailure {
    /// No connection to the endpoint: the request was not sent.
    case connectFailure
    /// The connection ended.
    case terminated
    /// The endpoint reset the stream.
    case remoteReset
    /// The endpoint reset the stream and says that it did nothing (RFC 9113 8.7).
    case refusedStream
    case protocolError
}

/// The fate of attempts: what a response or a failure of the endpoint means for the request.
extension ProxyWorker {
    /// The response head in `head` is the attempt's. False when it was given up for another attempt.
    @discardableResult
    mutating func takeResponseHead(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, framing: BodyFraming) -> Bool {
        unsafe takeTrailers(exchange)
        unsafe judge(exchange, .response(status: outcomeStatus(exchange)))
        unsafe writeResponseHead(exchange, framing: framing)
        unsafe sendHTTP1Head(exchange)
        return true
    }

    /// An HTTP/2 upstream's events do not share the assembly with anything else: the head goes out with what follows in the same turn.
    private mutating func sendHTTP1Head(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe exchange.pointee.upstreamStream != 0 && !exchange.pointee.isHTTP2Downstream else { return }
        unsafe sendAssembly(exchange.pointee.downstream)
    }

    /// The response's status as outlier detection counts it: for gRPC, what its grpc-status means in HTTP.
    private func outcomeStatus(_ exchange: UnsafeMutablePointer<Exchange>) -> UInt16 {
        let status = unsafe exchange.pointee.record.grpcStatus
        return status == 255 ? head.statusCode : GRPCStatus.http(status)
    }

    func markFirstByte(_ exchange: UnsafeMutablePointer<Exchange>) {
        if unsafe exchange.pointee.record.times.upstreamReceiveBegin == RequestTimes.absent {
            unsafe exchange.pointee.record.times.upstreamReceiveBegin = now.nanoseconds(since: exchange.pointee.start)
        }
    }

    /// Reads what the trailers (or a head that stands for them) in `head` say of the request.
    func takeTrailers(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe exchange.pointee.flags.contains(.isGRPC), let value = unsafe grpcStatusField() else { return }
        // 17 codes are defined; an unknown one still counts as itself.
        unsafe exchange.pointee.record.grpcStatus = UInt8(clamping: min(254, ASCII.decimal(value) ?? 2))
    }

    private func grpcStatusField() -> UnsafeRawBufferPointer? {
        let name: StaticString = "grpc-status"
        return unsafe head.value(named: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }

    /// The attempt is over without a whole response. Its connection or stream is already detached, or is now.
    mutating func attemptFailed(_ id: SlotID, _ failure: AttemptFailure) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        if unsafe !exchange.pointee.flags.contains(.responseStarted) { unsafe judge(exchange, failure == .connectFailure ? .connectFailed : .reset) }
        unsafe abandonAttempt(id, exchange)
        let flag: ResponseFlags =
            switch failure {
            case .connectFailure: .upstreamConnectionFailure
            case .terminated: .upstreamConnectionTermination
            case .remoteReset, .refusedStream: .upstreamRemoteReset
            case .protocolError: .upstreamProtocolError
            }
        if unsafe exchange.pointee.flags.contains(.responseStarted) {
            unsafe exchange.pointee.record.flags.insert(flag)
            unsafe exchange.pointee.record.details =
                failure == .terminated ? .connectionTerminationAfterResponse : failure == .protocolError ? .protocolErrorAfterResponse : .remoteResetAfterResponse
            cutResponse(id)
            return
        }
        if failure != .connectFailure, unsafe canSendAgain(exchange) {
            handle.statistics.add(handle.statistics.staleRetries)
            unsafe exchange.pointee.flags.insert(.wasRetried)
            attachUpstream(id, freshConnection: true, hasMore: false)
            return
        }
        switch failure {
        case .connectFailure:
            handle.statistics.add(handle.statistics.upstreamConnectFailures)
            reply(
                id, 503, .connectionFailureBeforeResponse, flag,
                body: "upstream connect error or disconnect/reset before headers. reset reason: connection failure", closes: false)
        case .terminated:
            reply(
                id, 503, .connectionTerminationBeforeResponse, flag,
                body: "upstream connect error or disconnect/reset before headers. reset reason: connection termination", closes: false)
        case .remoteReset:
            reply(
                id, 503, .remoteResetBeforeResponse, flag,
                body: "upstream connect error or disconnect/reset before headers. reset reason: remote reset", closes: false)
        case .refusedStream:
            reply(
                id, 503, .refusedStreamBeforeResponse, flag,
                body: "upstream connect error or disconnect/reset before headers. reset reason: remote refused stream reset", closes: false)
        case .protocolError:
            reply(
                id, 502, .protocolErrorBeforeResponse, flag,
                body: "upstream connect error or disconnect/reset before headers. reset reason: protocol error", closes: false)
        }
    }

    /// A kept connection may have been closed while our request was on its way. RFC 9110 9.2.2 lets a proxy send an idempotent request again
    /// then; once, on a new connection, and only if none of its body is gone.
    private func canSendAgain(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let flags = unsafe exchange.pointee.flags
        guard unsafe exchange.pointee.record.times.upstreamReceiveBegin == RequestTimes.absent else { return false }
        return flags.contains(.onReusedConnection) && flags.contains(.isIdempotent) && !flags.contains(.wasRetried)
            && !flags.contains(.bodyForwarded) && flags.contains(.requestComplete)
    }
}
