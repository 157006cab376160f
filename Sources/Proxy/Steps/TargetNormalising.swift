internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Target, path and host of a request, checked and brought into the one form that is routed and forwarded (RFC 9112 3.2, RFC 9113 8.3.1).
enum TargetNormalising {
    @inline(__always)
    static func run(_ request: inout Request, _ context: inout RequestContext, _ epoch: inout Epoch) -> StepOutcome {
        if request.head.isTooLarge || request.head.targetCount > context.limits.http.targetBytesMax {
            return refuseSize(&request, &context, &epoch)
        }
        guard let target = RequestTarget.parse(request.head.targetBytes, method: request.head.methodBytes) else {
            request.target.authority = request.head.place(of: .host) ?? 0..<0
            let reason: StaticString = "malformed request target (RFC 9112 3.2)"
            return refuseTarget(&request, &context, &epoch, .http1CodecError, reason, path: request.head.targetPlace, closes: true)
        }
        let isForwarded = !request.origin.isEdge && isForwardedHTTPS(request.head)
        request.target.isHTTPS = target.isHTTPS || request.head.isHTTPS || isForwarded || request.origin.isSecured
        request.target.form = target.form
        let named = namedAuthority(request.head, target)
        request.target.authority = named ?? 0..<0
        guard normalisePath(&request, target, &context, &epoch) else {
            let reason: StaticString = "path cannot be normalised: it has %00 or no leading slash"
            return refuseTarget(&request, &context, &epoch, .pathNormalizationFailed, reason, path: request.head.targetPlace)
        }
        return checkHost(&request, target, named, &context, &epoch)
    }

    @inline(__always)
    private static func checkHost(
        _ request: inout Request, _ target: RequestTarget, _ named: Range<Int>?, _ context: inout RequestContext, _ epoch: inout Epoch
    ) -> StepOutcome {
        let path = request.target.path
        guard let named, !named.isEmpty else {
            return refuseTarget(&request, &context, &epoch, .missingHostHeader, "missing or empty Host", path: path)
        }
        request.target.authority = named
        let violation: ResponseCodeDetails = request.origin.isHTTP2 ? .http2ProtocolError : .http1CodecError
        // `Host` was looked at with the head.
        let isKnown = request.head.host.count > 0 && target.authority.isEmpty
        guard let host = isKnown ? request.head.host : Authority.parse(request.head.bytes(named)) else {
            return refuseTarget(&request, &context, &epoch, violation, HeadError.malformedHost.reason, path: path)
        }
        request.target.authority = named.lowerBound..<named.lowerBound + host.count
        request.target.host = host
        if namesAnotherHost(request.head, request.target) {
            let reason: StaticString = "malformed host, or another than :authority (RFC 9113 8.3.1)"
            return refuseTarget(&request, &context, &epoch, violation, reason, path: path)
        }
        if request.origin.isEdge, request.head.hasUnderscores {
            let reason: StaticString =
                "header field name with an underscore, which applications take for a dash: not accepted at a gateway"
            return refuseTarget(&request, &context, &epoch, violation, reason, path: path)
        }
        return .go
    }

    private static func refuseSize(_ request: inout Request, _ context: inout RequestContext, _ epoch: inout Epoch) -> StepOutcome {
        request.target.isHTTPS = request.head.isHTTPS || request.origin.isSecured
        request.target.authority = request.head.authority.isEmpty ? request.head.place(of: .host) ?? 0..<0 : request.head.authority
        RecordTexts.write(&request, context.limits.recordTextBytesMax, &epoch, path: request.head.targetPlace, isWhole: false)
        // An HTTP/1.1 target was measured when it was parsed.
        guard request.head.isTooLarge else {
            return .answer(LocalAnswer(414, .requestURITooLong, [.downstreamProtocolError], body: HeadError.targetTooLong.reason))
        }
        return .answer(LocalAnswer(431, .requestHeadersTooLarge, [.downstreamProtocolError], body: "header section too large"))
    }

    /// Answers 400 to a request that no rule is asked for, and notes what it named.
    private static func refuseTarget(
        _ request: inout Request, _ context: inout RequestContext, _ epoch: inout Epoch, _ details: ResponseCodeDetails,
        _ reason: StaticString, path: Range<Int>, closes: Bool = false
    ) -> StepOutcome {
        RecordTexts.write(&request, context.limits.recordTextBytesMax, &epoch, path: path, isWhole: false)
        let isOfProtocol = details == .http1CodecError || details == .http2ProtocolError
        return .answer(LocalAnswer(400, details, isOfProtocol ? [.downstreamProtocolError] : [], body: reason, closes: closes))
    }

    /// Host and port the request is for, as it was written. An absolute target beats `Host` (RFC 9112 3.2.2).
    @inline(__always)
    private static func namedAuthority(_ head: borrowing MessageHead, _ target: RequestTarget) -> Range<Int>? {
        if !target.authority.isEmpty { return head.place(ofTarget: target.authority) }
        if !head.authority.isEmpty { return head.authority }
        return head.place(of: .host)
    }

    /// Whoever ended the client's TLS says so (Envoy takes the scheme from there).
    private static func isForwardedHTTPS(_ head: borrowing MessageHead) -> Bool {
        guard head.has(.forwardedProto), let value = head.bytes(of: .forwardedProto) else { return false }
        return value.equals(ignoringCase: "https")
    }

    /// Whether an HTTP/2 request has a `host` besides `:authority` that is another, or none (RFC 9113 8.3.1).
    private static func namesAnotherHost(_ head: borrowing MessageHead, _ target: NormalisedTarget) -> Bool {
        guard !head.authority.isEmpty, let second = head.bytes(of: .host) else { return false }
        return unsafe !Authority.same(head.text(target.authority), second.buffer, isHTTPS: target.isHTTPS)
    }

    /// The path and query to route by and to forward. False = the request must be refused.
    @inline(__always)
    private static func normalisePath(
        _ request: inout Request, _ target: RequestTarget, _ context: inout RequestContext, _ epoch: inout Epoch
    ) -> Bool {
        if target.form == .asterisk || target.form == .authority {
            request.target.path = request.head.targetPlace
            request.head.sentTarget = request.target.path
            return true
        }
        guard let path = normalisedPath(&request.head, target, &context, epoch.configuration.pathNormalization) else { return false }
        let query = normalisedQuery(&request.head, target, &context, epoch.configuration.pathNormalization)
        let head = path.upperBound == query.lowerBound || query.isEmpty ? path.lowerBound..<max(path.upperBound, query.upperBound) : nil
        if let head, !query.isEmpty || path.count > 0 {
            request.target.path = path
            request.target.query = query
            request.head.sentTarget = query.isEmpty ? path : head
            return true
        }
        let joined = request.head.join(path, query)
        request.target.path = joined.lowerBound..<joined.lowerBound + path.count
        request.target.query = joined.lowerBound + path.count..<joined.upperBound
        request.head.sentTarget = joined
        return true
    }

    private static func normalisedPath(
        _ head: inout MessageHead, _ target: RequestTarget, _ context: inout RequestContext, _ mode: PathNormalization
    ) -> Range<Int>? {
        if target.path.isEmpty {
            // RFC 9112 3.2.4: OPTIONS for the server itself, in the absolute form.
            let isForServer = target.query.isEmpty && head.methodBytes == "OPTIONS"
            return head.write { $0.append(isForServer ? "*" : "/") }
        }
        let place = head.place(ofTarget: target.path)
        let scratch = unsafe context.pathScratch
        switch unsafe PathNormalizer.normalize(head.text(place), mode: mode, into: scratch) {
        case .unchanged: return place
        case .changed(let count): return head.write { unsafe $0.append(UnsafeRawBufferPointer(start: scratch, count: count)) }
        case .rejected: return nil
        }
    }

    private static func normalisedQuery(
        _ head: inout MessageHead, _ target: RequestTarget, _ context: inout RequestContext, _ mode: PathNormalization
    ) -> Range<Int> {
        let place = head.place(ofTarget: target.query)
        guard !place.isEmpty else { return place }
        let scratch = unsafe context.pathScratch
        guard let count = unsafe PathNormalizer.encode(query: head.text(place), mode: mode, into: scratch) else { return place }
        return head.write { unsafe $0.append(UnsafeRawBufferPointer(start: scratch, count: count)) }
    }
}
