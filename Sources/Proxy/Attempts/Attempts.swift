internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// How an attempt came to nothing before its response began.
enum AttemptFailure: Equatable {
    /// No connection to the endpoint: the request was not sent. `code` is errno, 0 where there is none.
    case connectFailure(code: Int32)
    /// As before: connecting to a Unix socket ends at once, and this is how.
    case unixConnectFailure(UnixConnectError)
    /// As before: the endpoint says that nobody listens, or says nothing in time.
    case connectionRefused
    case connectionTimeout
    /// The connection ended.
    case terminated
    /// The endpoint reset the stream.
    case remoteReset
    /// The endpoint reset the stream and says that it did nothing (RFC 9113 8.7).
    case refusedStream
    case protocolError
    /// No response within the time of one try.
    case perTryTimeout
}

/// The fate of attempts: an endpoint is chosen, and what it does (or does not) becomes the response, another attempt, or an answer of our own.
extension ProxyWorker {
    // MARK: Beginning

    /// Chooses an endpoint and sends the request there.
    mutating func beginAttempt(_ id: SlotID, hasMore: Bool) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        let index = unsafe Int(exchange.pointee.clusterIndex)
        let cluster = unsafe tables(exchange).cluster(index)
        if unsafe cluster.isPassthrough || (cluster.prefersDialled && downstreams.pointer(exchange.pointee.downstream)?.pointee.isCaptured == true) {
            passThrough(id, cluster, index, hasMore: hasMore)
            return
        }
        guard let endpoint = unsafe pickEndpoint(exchange, cluster, index) else {
            let flags: ResponseFlags = cluster.isUnresolved ? [.noHealthyUpstream, .dnsResolutionFailed] : [.noHealthyUpstream]
            reply(id, 503, .noHealthyUpstream, flags, body: "no healthy upstream", closes: false)
            return
        }
        let entry = unsafe tables(exchange).endpoint(endpoint)
        unsafe exchange.pointee.record.labels = entry.labels
        unsafe exchange.pointee.record.upstreamRemote = entry.address
        unsafe exchange.pointee.record.upstreamProtocol = .tcp
        unsafe exchange.pointee.endpointIndex = Int32(clamping: endpoint)
        guard unsafe enterPool(exchange, pool(of: endpoint, cluster, exchange)) else {
            overflow(id)
            return
        }
        unsafe exchange.pointee.attemptStart = now
        unsafe finishHead(exchange)
        let perTry = unsafe exchange.pointee.perTryNanoseconds
        if perTry > 0 {
            unsafe exchange.pointee.attemptWait = .perTryTimeout
            unsafe exchange.pointee.attemptTimer = timers.arm(Token(.attempt, id).rawValue, at: now + perTry)
        }
        attachUpstream(id, freshConnection: false, hasMore: hasMore)
    }

    /// To the address that the client dialled.
    private mutating func passThrough(_ id: SlotID, _ cluster: ClusterEntry, _ index: Int, hasMore: Bool) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        let dialled = unsafe exchange.pointee.record.downstreamLocal
        guard let connection = unsafe downstreams.pointer(exchange.pointee.downstream), unsafe connection.pointee.isCaptured,
            let pool = unsafe passthroughPool(dialled, cluster, slot: epochs[exchange.pointee.epoch].configuration.upstreams.clusters[index])
        else {
            reply(id, 503, .noHealthyUpstream, [.noHealthyUpstream], body: "no healthy upstream", closes: false)
            return
        }
        unsafe exchange.pointee.record.upstreamRemote = dialled
        unsafe exchange.pointee.record.upstreamProtocol = .tcp
        guard unsafe enterPool(exchange, pool) else {
            overflow(id)
            return
        }
        unsafe exchange.pointee.attemptStart = now
        unsafe finishHead(exchange)
        attachUpstream(id, freshConnection: false, hasMore: hasMore)
    }

    /// The last lines of the head, which tell attempts apart.
    private mutating func finishHead(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe exchange.pointee.headEnd > 0 else { return }
        unsafe exchange.pointee.requestHead.truncate(to: exchange.pointee.headEnd)
        if unsafe !exchange.pointee.flags.contains(.omitsAttemptCount) {
            unsafe exchange.pointee.requestHead.append("X-Envoy-Attempt-Count: ")
            unsafe exchange.pointee.requestHead.append(decimal: UInt64(exchange.pointee.retries) + 1)
            unsafe exchange.pointee.requestHead.append("\r\n")
        }
        unsafe exchange.pointee.requestHead.append("\r\n")
    }

    // MARK: The response

    /// The response head in `head` is the attempt's. False when it was given up for another attempt.
    @discardableResult
    mutating func takeResponseHead(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, framing: BodyFraming) -> Bool {
        unsafe takeTrailers(exchange)
        unsafe judge(exchange, .response(status: outcomeStatus(exchange)))
        if unsafe exchange.pointee.flags.contains(.isShadow) {
            unsafe exchange.pointee.responseFraming = framing
            if case .length(let count) = framing { unsafe exchange.pointee.responseRemaining = count }
            unsafe exchange.pointee.flags.insert(.responseStarted)
            return true
        }
        if unsafe head.statusCode >= 400 || (exchange.pointee.record.grpcStatus != 255 && exchange.pointee.record.grpcStatus != 0) {
            var outcome = RetryOutcome()
            outcome.status = head.statusCode
            outcome.grpcStatus = unsafe exchange.pointee.record.grpcStatus
            outcome.isRateLimited = hasRateLimitField()
            if unsafe tryAgain(id, exchange, outcome) { return false }
        }
        // The try has brought a response; what remains is the route's time.
        if unsafe exchange.pointee.attemptWait == .perTryTimeout {
            unsafe timers.cancel(exchange.pointee.attemptTimer)
            unsafe exchange.pointee.attemptTimer = .none
            unsafe exchange.pointee.attemptWait = .none
        }
        guard unsafe writeResponseHead(exchange, framing: framing) else {
            // It has become larger than what can be sent.
            upstreamBrokeProtocol(id)
            return false
        }
        // An HTTP/2 upstream's events share the assembly with nothing else.
        if unsafe exchange.pointee.upstreamStream != 0 && !exchange.pointee.isHTTP2Downstream { unsafe sendAssembly(exchange.pointee.downstream) }
        return true
    }

    private mutating func hasRateLimitField() -> Bool {
        let name: StaticString = "x-envoy-ratelimited"
        return unsafe head.value(named: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)) != nil
    }

    /// The response's status as outlier detection counts it: for gRPC, what its grpc-status means in HTTP.
    private mutating func outcomeStatus(_ exchange: UnsafeMutablePointer<Exchange>) -> UInt16 {
        let status = unsafe exchange.pointee.record.grpcStatus
        return status == 255 ? head.statusCode : GRPCStatus.http(status)
    }

    mutating func markFirstByte(_ exchange: UnsafeMutablePointer<Exchange>) {
        if unsafe exchange.pointee.record.times.upstreamReceiveBegin == RequestTimes.absent {
            unsafe exchange.pointee.record.times.upstreamReceiveBegin = now.nanoseconds(since: exchange.pointee.start)
        }
    }

    /// Reads what the trailers (or a head that stands for them) in `head` say of the request.
    mutating func takeTrailers(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe exchange.pointee.flags.contains(.isGRPC), let value = unsafe grpcStatusField() else { return }
        // 17 codes are defined; an unknown one still counts as itself.
        unsafe exchange.pointee.record.grpcStatus = UInt8(clamping: min(254, ASCII.decimal(value) ?? 2))
    }

    private mutating func grpcStatusField() -> UnsafeRawBufferPointer? {
        let name: StaticString = "grpc-status"
        return unsafe head.value(named: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }

    // MARK: Failure

    /// The attempt is over without a whole response. Its connection or stream is already detached, or is now.
    mutating func attemptFailed(_ id: SlotID, _ failure: AttemptFailure) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        unsafe note(failure, of: exchange)
        if unsafe exchange.pointee.flags.contains(.responseStarted) {
            unsafe abandonAttempt(id, exchange)
            unsafe exchange.pointee.record.flags.insert(failure.flag)
            unsafe exchange.pointee.record.details = failure.detailsAfterResponse
            cutResponse(id)
            return
        }
        switch failure {
        case .connectFailure, .unixConnectFailure, .connectionRefused, .connectionTimeout:
            handle.statistics.add(handle.statistics.upstreamConnectFailures)
            unsafe judge(exchange, .connectFailed)
        case .perTryTimeout: unsafe judge(exchange, .timedOut)
        case .terminated, .remoteReset, .refusedStream, .protocolError: unsafe judge(exchange, .reset)
        }
        let outcome = unsafe retryOutcome(exchange, failure)
        let mayBeStale = failure == .terminated
        unsafe abandonAttempt(id, exchange)
        if mayBeStale, unsafe canSendAgain(exchange) {
            handle.statistics.add(handle.statistics.staleRetries)
            unsafe exchange.pointee.flags.insert(.wasRetried)
            unsafe exchange.pointee.note(attemptEnding: .staleConnection, status: 0, now: now)
            unsafe exchange.pointee.attemptStart = now
            attachUpstream(id, freshConnection: true, hasMore: false)
            return
        }
        if unsafe tryAgain(id, exchange, outcome) { return }
        let status: UInt16 = failure == .protocolError ? 502 : failure == .perTryTimeout ? 504 : 503
        let body = unsafe exchange.pointee.retries > 0 ? failure.bodyAfterRetries : failure.body
        reply(id, status, failure.details, failure.flag, body: body, closes: false)
    }

    private mutating func retryOutcome(_ exchange: UnsafeMutablePointer<Exchange>, _ failure: AttemptFailure) -> RetryOutcome {
        var outcome = RetryOutcome()
        outcome.isIdempotent = unsafe exchange.pointee.flags.contains(.isIdempotent)
        switch failure {
        case .connectFailure, .unixConnectFailure, .connectionRefused, .connectionTimeout: outcome.failure = .connectFailure
        case .refusedStream: outcome.failure = .refusedStream
        case .perTryTimeout: outcome.failure = .perTryTimeout
        case .terminated, .remoteReset, .protocolError:
            // Nothing of the request had left our buffers.
            let wasSent = unsafe exchange.pointee.record.times.upstreamSendBegin != RequestTimes.absent
            outcome.failure = wasSent ? .reset : .resetBeforeRequest
        }
        return outcome
    }

    /// A kept connection may have been closed while our request was on its way. RFC 9110 9.2.2 lets a proxy send an idempotent request again
    /// then; once, on a new connection, and only if none of its body is gone.
    private mutating func canSendAgain(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let flags = unsafe exchange.pointee.flags
        guard unsafe exchange.pointee.record.times.upstreamReceiveBegin == RequestTimes.absent && exchange.pointee.pool >= 0 else { return false }
        // Who has hinted was there.
        guard unsafe exchange.pointee.interim.count == 0 else { return false }
        return flags.contains(.onReusedConnection) && flags.contains(.isIdempotent) && !flags.contains(.wasRetried)
            && !flags.contains(.bodyForwarded) && flags.contains(.requestComplete)
    }
}

extension AttemptFailure {
    /// As it is told of the endpoint.
    var endpointFailure: EndpointFailure {
        switch self {
        case .connectFailure(let code): EndpointFailure(.connectError, code: code)
        case .unixConnectFailure(let reason): reason == .refused ? EndpointFailure(.connectionRefused) : EndpointFailure(.connectError, code: reason.code)
        case .connectionRefused: EndpointFailure(.connectionRefused)
        case .connectionTimeout: EndpointFailure(.connectTimeout)
        case .terminated: EndpointFailure(.connectionClosed)
        case .remoteReset: EndpointFailure(.reset)
        case .refusedStream: EndpointFailure(.refusedStream)
        case .protocolError: EndpointFailure(.protocolError)
        case .perTryTimeout: EndpointFailure(.noAnswerInTime)
        }
    }

    var flag: ResponseFlags {
        switch self {
        case .connectFailure, .unixConnectFailure, .connectionRefused, .connectionTimeout: .upstreamConnectionFailure
        case .terminated: .upstreamConnectionTermination
        case .remoteReset, .refusedStream: .upstreamRemoteReset
        case .protocolError: .upstreamProtocolError
        case .perTryTimeout: .upstreamRequestTimeout
        }
    }

    var details: ResponseCodeDetails {
        switch self {
        case .connectFailure: .connectionFailureBeforeResponse
        case .unixConnectFailure(.refused): .unixRefusedBeforeResponse
        case .unixConnectFailure(.missing): .unixMissingBeforeResponse
        case .unixConnectFailure(.forbidden): .unixForbiddenBeforeResponse
        case .unixConnectFailure(.backlogFull): .unixBacklogFullBeforeResponse
        case .connectionRefused: .connectionRefusedBeforeResponse
        case .connectionTimeout: .connectionTimeoutBeforeResponse
        case .terminated: .connectionTerminationBeforeResponse
        case .remoteReset: .remoteResetBeforeResponse
        case .refusedStream: .refusedStreamBeforeResponse
        case .protocolError: .protocolErrorBeforeResponse
        case .perTryTimeout: .upstreamPerTryTimeout
        }
    }

    var detailsAfterResponse: ResponseCodeDetails {
        switch self {
        case .terminated, .connectFailure, .unixConnectFailure, .connectionRefused, .connectionTimeout: .connectionTerminationAfterResponse
        case .remoteReset, .refusedStream, .perTryTimeout: .remoteResetAfterResponse
        case .protocolError: .protocolErrorAfterResponse
        }
    }

    /// Envoy's words, which people search for.
    var body: StaticString {
        switch self {
        case .connectFailure, .unixConnectFailure, .connectionRefused:
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
        case .connectionTimeout: "upstream connect error or disconnect/reset before headers. reset reason: connection timeout"
        case .terminated: "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
        case .remoteReset: "upstream connect error or disconnect/reset before headers. reset reason: remote reset"
        case .refusedStream: "upstream connect error or disconnect/reset before headers. reset reason: remote refused stream reset"
        case .protocolError: "upstream connect error or disconnect/reset before headers. reset reason: protocol error"
        case .perTryTimeout: "upstream request timeout"
        }
    }

    var bodyAfterRetries: StaticString {
        switch self {
        case .connectFailure, .unixConnectFailure, .connectionRefused:
            "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure"
        case .connectionTimeout: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: connection timeout"
        case .terminated: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: connection termination"
        case .remoteReset: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote reset"
        case .refusedStream: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote refused stream reset"
        case .protocolError: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: protocol error"
        case .perTryTimeout: body
        }
    }
}
