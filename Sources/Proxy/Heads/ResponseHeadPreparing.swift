internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// The head of a response as the client gets it: the endpoint's or our own, with what this hop adds, and then what the configuration says.
/// It stands in the context's `responseHead`.
enum ResponseHeadPreparing {
    /// An endpoint's final response.
    static func prepare(
        _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop, _ epochs: inout Epochs
    ) {
        dropHopFields(&context.responseHead, &request, &epochs.all[request.epoch])
        if !context.responseHead.has(.date) { addDate(&context, &loop) }
        if let time = serviceTime(request.log.record.times) {
            context.responseHead.add("X-Envoy-Upstream-Service-Time", .upstreamServiceTime, bytesMax: 20) { $0.append(decimal: time) }
        }
        applyRules(&request, &context, isUpstreams: true, &epochs.all[request.epoch])
    }

    /// An endpoint's interim response (RFC 9110 15.2).
    static func prepareInterim(_ request: inout Request, _ context: inout RequestContext, _ epochs: inout Epochs) {
        dropHopFields(&context.responseHead, &request, &epochs.all[request.epoch])
        let edits = edits(&request, &epochs.all[request.epoch])
        guard edits.isActive else { return }
        let tables = epochs.all[request.epoch].tables
        context.responseHead.filter { head, index in !tables.drops(edits, head.nameBytes(at: index)) }
    }

    /// An endpoint's 101: what it switches to stays.
    static func prepareSwitch(_ request: inout Request, _ context: inout RequestContext, _ epochs: inout Epochs) {
        context.responseHead.filter { head, index in
            let name = head.fieldName(at: index)
            if name == .contentLength || name == .transferEncoding || (name.isHopByHop && name != .upgrade) { return false }
            guard name == .other, head.connection.contains(.namesOthers) else { return true }
            return !RequestFieldRules.isNamedByConnection(head.nameBytes(at: index), head)
        }
        applyRules(&request, &context, isUpstreams: true, &epochs.all[request.epoch])
    }

    /// An answer of our own.
    static func prepare(
        _ answer: LocalAnswer, _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop,
        _ epochs: inout Epochs
    ) {
        let isGRPC = request.origin.isHTTP2 && request.traits.contains(.isGRPC)
        let length = UInt64(answer.body.count)
        context.responseHead.beginResponse(status: isGRPC ? 200 : answer.status, length: isGRPC ? nil : length)
        if isGRPC {
            // A gRPC client reads its status where it expects it: trailers-only (gRPC over HTTP/2, "Responses").
            context.responseHead.add("content-type", .contentType, text: "application/grpc")
            context.responseHead.add("grpc-status") { $0.append(decimal: UInt64(request.log.record.grpcStatus)) }
            if !answer.body.isEmpty {
                context.responseHead.add("grpc-message") { GRPCStatus.append(message: answer.body, to: &$0) }
            }
        } else if !answer.body.isEmpty && !namesContentType(&request, &epochs.all[request.epoch]) {
            context.responseHead.add("Content-Type", .contentType, text: "text/plain")
        }
        if answer.hasLocation {
            let location = context.answerText.lent
            context.responseHead.add("Location") { $0.append(location) }
        }
        if answer.hasChallenge {
            let challenge = context.answerText.lent
            context.responseHead.add("WWW-Authenticate") { $0.append(challenge) }
        }
        addDate(&context, &loop)
        context.responseHead.add("Server", .server, text: "skein")
        if answer.isOverloaded { context.responseHead.add("X-Envoy-Overloaded", .envoyOther, text: "true") }
        applyRules(&request, &context, isUpstreams: false, &epochs.all[request.epoch])
    }

    // MARK: Parts

    /// Leaves out what is for this hop alone, and what a CORS policy says in the application's place.
    @inline(__always)
    private static func dropHopFields(_ head: inout MessageHead, _ request: inout Request, _ epoch: inout Epoch) {
        let hasCORS = request.plan.effects.contains(.allowsOrigin)
        let plan = request.plan
        head.filter { head, index in
            let name = head.fieldName(at: index)
            if hasCORS, CrossOrigin.governs(head.nameBytes(at: index), plan, &epoch) { return false }
            switch name {
            case .other:
                return !head.connection.contains(.namesOthers) || !RequestFieldRules.isNamedByConnection(head.nameBytes(at: index), head)
            case .contentLength, .upstreamServiceTime: return false
            default: return !name.isHopByHop
            }
        }
    }

    @inline(__always)
    private static func addDate(_ context: inout RequestContext, _ loop: inout WorkerLoop) {
        let now = loop.unixNow
        context.responseHead.add(lineOf: .date, nameCount: 4) { context.dateCache.append(to: &$0, unixNanoseconds: now) }
    }

    /// Milliseconds that the endpoint took to its first byte.
    private static func serviceTime(_ times: RequestTimes) -> UInt64? {
        let begin = times.upstreamReceiveBegin
        let sent = times.upstreamSendBegin
        guard begin != RequestTimes.absent, sent != RequestTimes.absent else { return nil }
        return begin > sent ? (begin - sent) / 1_000_000 : 0
    }

    static func edits(_ request: inout Request, _ epoch: inout Epoch) -> HeaderEdits {
        guard request.plan.effects.contains(.editsResponse), request.plan.route >= 0 else { return HeaderEdits() }
        return epoch.tables.responseEdits(destination: request.plan.destination)
    }

    /// The fields of policies, which the configuration's edits may take back; those edits; then the fields of a CORS policy, which stand
    /// alone (Envoy's filter sets them last).
    private static func applyRules(_ request: inout Request, _ context: inout RequestContext, isUpstreams: Bool, _ epoch: inout Epoch) {
        let effects = request.plan.effects
        if effects.isDisjoint(with: [.allowsOrigin, .setsCookie, .showsRateLimit, .editsResponse]) { return }
        if effects.contains(.showsRateLimit) { RateLimiting.addOwnFields(to: &context.responseHead, request.plan, &epoch) }
        if effects.contains(.setsCookie), request.plan.route >= 0 { addCookie(&context.responseHead, request.plan, &epoch) }
        let edits = edits(&request, &epoch)
        let tables = epoch.tables
        // Values are made of the response as it came; what they replace goes then.
        let end = context.responseHead.fieldCount
        for index in 0..<(tables.additionCount(edits)) { add(index, edits, &request, &context, isUpstreams: isUpstreams, &epoch) }
        if edits.isActive {
            context.responseHead.filter { head, index in index >= end || !tables.drops(edits, head.nameBytes(at: index)) }
        }
        guard request.plan.route >= 0 else { return }
        if effects.contains(.allowsOrigin) { CrossOrigin.addOwnFields(to: &context.responseHead, &request, &epoch) }
    }

    private static func add(
        _ index: Int, _ edits: HeaderEdits, _ request: inout Request, _ context: inout RequestContext, isUpstreams: Bool,
        _ epoch: inout Epoch
    ) {
        let tables = epoch.tables
        let (name, value) = tables.addition(edits, index)
        if request.plan.effects.contains(.allowsOrigin), CrossOrigin.governs(name, request.plan, &epoch) { return }
        guard let pieces = tables.pieces(edits, index) else {
            context.responseHead.add(name, value)
            return
        }
        var made = ByteBuffer()
        swap(&made, &context.value)
        HeaderValues.write(pieces, &request, context.responseHead, isUpstreams: isUpstreams, &epoch, to: &made)
        // What comes to nothing is not sent, as in Envoy.
        if !made.isEmpty { context.responseHead.add(name, made.lent) }
        swap(&made, &context.value)
    }

    /// Whether the configuration names the type of our own answer's body (`headers: {response: {set: {content-type: …}}}`), as Envoy
    /// takes it: text/plain is only what an answer has that says nothing else.
    private static func namesContentType(_ request: inout Request, _ epoch: inout Epoch) -> Bool {
        let edits = edits(&request, &epoch)
        for index in 0..<(epoch.tables.additionCount(edits)) {
            if epoch.tables.addition(edits, index).0.equals(ignoringCase: "content-type") { return true }
        }
        return false
    }

    private static func addCookie(_ head: inout MessageHead, _ plan: RoutePlan, _ epoch: inout Epoch) {
        let tables = epoch.tables
        let policy = tables.cluster(Int(plan.cluster)).hash
        head.add("set-cookie") { output in
            output.append(tables.cookieName(policy))
            output.append("=")
            output.append(hexadecimal16: plan.cookieValue)
            if policy.cookieSeconds > 0 {
                output.append("; Max-Age=")
                output.append(decimal: UInt64(policy.cookieSeconds))
            }
            let path = tables.cookiePath(policy)
            if path.count > 0 {
                output.append("; Path=")
                output.append(path)
            }
            output.append(tables.cookieAttributes(policy))
            output.append("; HttpOnly")
        }
    }
}
