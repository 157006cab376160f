internal import HTTP
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// The head as the endpoint gets it: without what was for this hop alone, with what this hop adds, and then what the configuration says,
/// which has the last word on all of it (Envoy's router, `finalizeRequestHeaders`).
enum RequestHeadPreparing {
    static func run(
        _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) -> StepOutcome {
        let trace = TraceDeciding.decide(&request, &context, &epoch.plan)
        let route = request.plan.route
        let tables = epoch.tables
        let rewrite = route >= 0 ? tables.actions(UInt32(route)).rewrite : RewriteEntry()
        let edits = route >= 0 ? tables.requestEdits(destination: request.plan.destination) : HeaderEdits()
        let original = request.head.sentTarget
        let left = MaxForwards.left(request.head)
        let asksForTrailers = asksForTrailers(request.head)
        takeOverrides(&request)
        keepValues(of: .forwardedFor, request.head, &context.value)
        context.certs.clear(keeping: 4096)
        if request.certAction == .append { keepValues(of: .forwardedClientCert, request.head, &context.certs) }
        leaveHopFields(&request, rewrite, edits, trace, left, &loop, &epoch)
        setTarget(&request, rewrite, &context, &epoch)
        if let left { request.head.add("Max-Forwards", .maxForwards) { $0.append(decimal: left &- 1) } }
        if asksForTrailers { request.head.add("TE", .te, text: "trailers") }
        addUpgrade(&request, &context)
        addForwarded(&request, context.value)
        addCerts(&request, context.certs, &loop)
        if !request.head.has(.requestID) {
            request.head.add("X-Request-Id", .requestID, bytesMax: 36) { $0.append(uuid: &context.draws.identifier) }
        }
        add(trace, to: &request.head, epoch.plan.option)
        addOriginals(&request, rewrite, original)
        if edits.isActive { apply(edits, &request, &context, &loop, &epoch) }
        addExpectedTime(&request, edits, &epoch)
        request.sharedFields = request.head.fieldCount
        request.sharedText = request.head.textEnd
        RecordTexts.writeSent(
            &request, context.limits.recordTextBytesMax, &epoch, isRewritten: rewrite.path != .unchanged, context.tokens.claims)
        return .go
    }

    // MARK: What came

    @inline(__always)
    private static func asksForTrailers(_ head: borrowing MessageHead) -> Bool {
        guard head.has(.te) else { return false }
        for index in 0..<head.fieldCount where head.fieldName(at: index) == .te {
            if RequestFieldRules.listsTrailers(head.bytes(at: index)) { return true }
        }
        return false
    }

    /// Fields that ask for time limits or retries of this request's own, which a workload may and its callers may not.
    @inline(__always)
    private static func takeOverrides(_ request: inout Request) {
        guard request.origin.side == .outbound, !request.origin.isEdge, request.head.has(.envoyOther) else { return }
        for index in 0..<request.head.fieldCount where request.head.fieldName(at: index) == .envoyOther {
            if !request.plan.effects.contains(.hasOverrides) { request.overrides = RequestOverrides() }
            guard request.overrides.take(request.head.nameBytes(at: index), request.head.bytes(at: index)) else { continue }
            request.plan.effects.insert(.hasOverrides)
        }
    }

    /// The values of a field that others are added to, each with a comma behind it.
    private static func keepValues(of name: HeaderName, _ head: borrowing MessageHead, _ output: inout ByteBuffer) {
        output.clear(keeping: 4096)
        guard head.has(name) else { return }
        for index in 0..<head.fieldCount where head.fieldName(at: index) == name {
            output.append(head.bytes(at: index))
            output.append(",")
        }
    }

    @inline(__always)
    private static func leaveHopFields(
        _ request: inout Request, _ rewrite: RewriteEntry, _ edits: HeaderEdits, _ trace: TraceContext, _ forwardsLeft: UInt64?,
        _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) {
        let traits = request.traits
        let isEdge = request.origin.isEdge
        let keepsCerts = request.certAction == .keep
        let side = request.origin.side
        let option = epoch.plan.option
        let tables = epoch.tables
        var dropped: UInt64 = 0
        request.head.filter { head, index in
            let name = head.fieldName(at: index)
            switch name {
            case .other:
                if head.connection.contains(.namesOthers), RequestFieldRules.isNamedByConnection(head.nameBytes(at: index), head) {
                    return false
                }
                if head.hasUnderscore(at: index) && HeaderName.isLookalike(head.nameBytes(at: index)) {
                    dropped += 1
                    return false
                }
                return true
            case .maxForwards: return forwardsLeft == nil
            case .envoyOther:
                if edits.isActive, tables.replaces(edits, head.nameBytes(at: index)) { return false }
                return passes(envoy: head.nameBytes(at: index), isEdge, side, rewrite)
            case .requestID:
                // An empty one names nothing; ours follows.
                return !isEdge && !head.bytes(at: index).isEmpty
            case .forwardedProto: return !isEdge
            case .forwardedClientCert: return keepsCerts
            case .host, .contentLength, .forwardedFor, .b3TraceID, .b3SpanID, .b3ParentSpanID, .b3Sampled, .b3Flags, .b3,
                .envoyAttemptCount, .te:
                return false
            case .expect: return RequestFieldRules.forwards(expectation: head.bytes(at: index), traits)
            case .envoyOriginalPath: return rewrite.path == .unchanged
            case .traceparent: return option != .useB3WithW3CPropagation
            case .tracestate: return option != .useB3WithW3CPropagation || trace.keepsTracestate
            default: return !name.isHopByHop
            }
        }
        if dropped > 0 { loop.countEvent { $0.add($0.fieldsDropped, dropped) } }
    }

    private static func passes(envoy name: LentBytes, _ isEdge: Bool, _ side: ProxySide, _ rewrite: RewriteEntry) -> Bool {
        if isEdge { return false }
        if side == .outbound, RequestOverrides.isOne(name) { return false }
        if RequestFieldRules.steersEnvoy(name) { return false }
        return !rewrite.hasAuthority || !name.equals(ignoringCase: "x-envoy-original-host")
    }

    // MARK: What this hop says

    @inline(__always)
    private static func setTarget(
        _ request: inout Request, _ rewrite: RewriteEntry, _ context: inout RequestContext, _ epoch: inout Epoch
    ) {
        let tables = epoch.tables
        request.head.sentAuthority = request.target.authority
        if let authority = tables.rewrittenAuthority(rewrite) {
            request.head.sentAuthority = request.head.write { $0.append(authority) }
        }
        guard rewrite.path != .unchanged else { return }
        context.answerText.clear()
        let path = request.head.bytes(request.target.path)
        tables.rewrite(rewrite, match: request.plan.match, path: path, into: &context.answerText)
        context.answerText.append(request.head.bytes(request.target.query))
        let text = context.answerText.lent
        request.head.sentTarget = request.head.write { $0.append(text) }
    }

    @inline(__always)
    private static func addUpgrade(_ request: inout Request, _ context: inout RequestContext) {
        guard request.traits.contains(.wantsUpgrade) else { return }
        let choice = request.upgrades
        request.head.add("Upgrade", .upgrade) { context.limits.upgrades.append(choice, to: &$0) }
    }

    /// X-Forwarded-For and -Proto. As Envoy's, the first gets IP addresses only: the client of a Unix socket adds nothing, and without a
    /// value there is no field.
    @inline(__always)
    private static func addForwarded(_ request: inout Request, _ earlier: borrowing ByteBuffer) {
        let remote = request.origin.remote
        let hasAddress = remote.family != .absent
        if hasAddress || !earlier.isEmpty {
            let known = earlier.lent.prefix(earlier.count - (hasAddress ? 0 : 1))
            request.head.add("X-Forwarded-For", .forwardedFor) { output in
                output.append(known)
                if hasAddress { output.append(address: remote) }
            }
        }
        guard !request.head.has(.forwardedProto) else { return }
        if request.target.isHTTPS {
            request.head.add(line: "X-Forwarded-Proto: https\r\n", .forwardedProto, nameCount: 17)
        } else {
            request.head.add(line: "X-Forwarded-Proto: http\r\n", .forwardedProto, nameCount: 17)
        }
    }

    /// X-Forwarded-Client-Cert, whose last element is the client's own. What came is dropped where both would be too long for most servers.
    @inline(__always)
    private static func addCerts(_ request: inout Request, _ earlier: borrowing ByteBuffer, _ loop: inout WorkerLoop) {
        guard request.certAction == .append || request.certAction == .replace, !request.cert.isEmpty else { return }
        let fits = earlier.count + request.cert.count <= ForwardedClientCert.bytesMax
        if !fits { loop.countEvent { $0.add($0.fieldsDropped) } }
        var element = ByteBuffer()
        swap(&element, &request.cert)
        request.head.add("X-Forwarded-Client-Cert", .forwardedClientCert) { output in
            if fits { output.append(contentsOf: earlier) }
            output.append(contentsOf: element)
        }
        swap(&element, &request.cert)
    }

    @inline(__always)
    private static func add(_ trace: TraceContext, to head: inout MessageHead, _ option: TraceContextOption) {
        add(.b3TraceID, of: trace, to: &head, option)
        add(.b3SpanID, of: trace, to: &head, option)
        add(.b3ParentSpanID, of: trace, to: &head, option)
        switch trace.decision {
        case .accept: head.add(line: "x-b3-sampled: 1\r\n", .other, nameCount: 12)
        case .reject: head.add(line: "x-b3-sampled: 0\r\n", .other, nameCount: 12)
        case .none, .debug: break
        }
        add(.b3Flags, of: trace, to: &head, option)
        add(.b3Single, of: trace, to: &head, option)
        add(.traceparent, of: trace, to: &head, option)
    }

    /// Always inlined: which header it is, is known where it is added.
    @inline(__always)
    private static func add(_ header: TraceHeader, of trace: TraceContext, to head: inout MessageHead, _ option: TraceContextOption) {
        guard trace.sends(header, option: option) else { return }
        head.add(header.name, bytesMax: TraceHeader.valueBytesMax) { trace.write(header, into: &$0) }
    }

    @inline(__always)
    private static func addOriginals(_ request: inout Request, _ rewrite: RewriteEntry, _ target: Range<Int>) {
        if rewrite.path != .unchanged { request.head.add("X-Envoy-Original-Path", .envoyOriginalPath, copyOf: target) }
        if rewrite.hasAuthority { request.head.add("X-Envoy-Original-Host", .envoyOther, copyOf: request.target.authority) }
    }

    // MARK: What the configuration says

    private static func apply(
        _ edits: HeaderEdits, _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop,
        _ epoch: inout Epoch
    ) {
        let tables = epoch.tables
        request.head.filter { head, index in !tables.removes(edits, head.nameBytes(at: index)) }
        let end = request.head.fieldCount
        for index in 0..<(tables.additionCount(edits)) {
            let (name, value) = tables.addition(edits, index)
            guard let pieces = tables.pieces(edits, index) else {
                request.head.add(name, value)
                continue
            }
            HeaderValues.write(pieces, &request, &epoch, to: &context.value)
            // What comes to nothing is not sent, as in Envoy.
            if !context.value.isEmpty { request.head.add(name, context.value.lent) }
        }
        request.head.filter { head, index in index >= end || !tables.replaces(edits, head.nameBytes(at: index)) }
        if tables.drops(edits, "x-envoy-attempt-count") { request.plan.effects.insert(.omitsAttemptCount) }
    }

    /// The time the request has, and each try of it, from the route, from the request itself, and from what a gRPC client asks for.
    @inline(__always)
    private static func addExpectedTime(_ request: inout Request, _ edits: HeaderEdits, _ epoch: inout Epoch) {
        guard request.plan.route >= 0 else { return }
        let tables = epoch.tables
        let overrides = request.plan.effects.contains(.hasOverrides) ? request.overrides : RequestOverrides()
        var whole = overrides.timeoutMilliseconds.map { $0 * 1_000_000 }
            ?? tables.route(UInt32(request.plan.route)).timeoutNanoseconds
        if let asked = grpcTimeout(&request), whole == 0 || asked < whole {
            whole = asked
            request.plan.effects.insert(.hasGRPCTimeout)
        }
        let retry = tables.actions(UInt32(request.plan.route)).retry
        let perTry = overrides.perTryMilliseconds.map { $0 * 1_000_000 } ?? retry.perTryTimeoutNanoseconds
        request.plan.timeoutNanoseconds = whole
        // A try may not take longer than all of them (semantics 2.3).
        if perTry > 0, whole == 0 || perTry < whole { request.plan.perTryNanoseconds = perTry }
        let expected = request.plan.perTryNanoseconds > 0 ? request.plan.perTryNanoseconds : whole
        guard expected > 0, !edits.isActive || !tables.drops(edits, "x-envoy-expected-rq-timeout-ms") else { return }
        request.head.add("X-Envoy-Expected-Rq-Timeout-Ms", .envoyOther) { $0.append(decimal: expected / 1_000_000) }
    }

    /// What a gRPC client gave the call (gRPC over HTTP/2, "Timeout"); nil = nothing, or nothing legible.
    private static func grpcTimeout(_ request: inout Request) -> UInt64? {
        guard request.traits.contains(.isGRPC), let value = request.head.bytes(named: "grpc-timeout") else { return nil }
        return GRPCTimeout.parse(value)
    }
}
