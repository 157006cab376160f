internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// The beginning of an attempt: an endpoint, a place among its cluster's requests, a connection. Mirrored copies and tunnels begin theirs
/// with the same parts.
enum AttemptBeginning {
    @safe
    enum Outcome {
        /// The request is with its endpoint, or in line for a connection.
        case begun
        case answer(LocalAnswer)
        case failed(AttemptFailure)
    }

    /// Chooses an endpoint and gives it the request.
    @inline(__always)
    static func begin(
        _ id: SlotID, _ request: inout Request, _ upstreams: inout Upstreams, _ context: inout RequestContext, _ loop: inout WorkerLoop,
        _ epoch: inout Epoch
    ) -> Outcome {
        let index = Int(request.plan.cluster)
        let cluster = epoch.tables.clusterSlot(index)
        let hash = request.plan.effects.contains(.hasHash) ? request.plan.hash : nil
        let route = request.plan.route
        let elsewhere = request.attempt.retries > 0 && route >= 0
            && epoch.tables.actions(UInt32(route)).retry.retriesRemoteLocalities
        let picking = EndpointPicking(cluster: cluster, index: index, hash: hash, now: loop.now, retriesElsewhere: elsewhere)
        let refusal = enter(
            &request.attempt, &request.log.record, picking, request.origin, &upstreams, &epoch, draw: &context.draws.balance)
        if let refusal { return .answer(refusal) }
        request.attempt.began = loop.now
        request.log.forgetUpstream()
        countAttempt(&request)
        let perTry = request.plan.perTryNanoseconds
        if perTry > 0, !cluster.entry.isPassthrough {
            request.wait = .perTry
            request.waitTimer = loop.arm(.requestWait, id, at: loop.now + perTry)
        }
        return attach(id, &request, &upstreams, isFresh: false, &loop)
    }

    /// Gives an attempt its endpoint and counts it in there; the answer where there is none, or a limit is reached.
    static func enter(
        _ attempt: inout Attempt, _ record: inout RequestRecord, _ picking: EndpointPicking, _ origin: RequestOrigin,
        _ upstreams: inout Upstreams, _ epoch: inout Epoch, draw: inout RandomSource
    ) -> LocalAnswer? {
        let cluster = picking.cluster
        let pool: Int
        if cluster.entry.isPassthrough || (cluster.entry.prefersDialled && origin.isCaptured) {
            // To the address that the client dialled.
            guard origin.isCaptured, let own = upstreams.passthroughPool(origin.local, cluster.entry, picking.index, &epoch) else {
                return .noEndpoint
            }
            record.upstreamRemote = origin.local
            pool = own
        } else {
            guard let endpoint = picking.pick(&attempt, &epoch, &upstreams, draw: &draw) else {
                var answer = LocalAnswer.noEndpoint
                if cluster.entry.isUnresolved { answer.flags.insert(.dnsResolutionFailed) }
                return answer
            }
            let entry = epoch.tables.endpoint(endpoint)
            record.labels.destination = entry.labels
            record.upstreamRemote = entry.address
            attempt.endpointIndex = Int32(clamping: endpoint)
            pool = picking.poolIndex(of: endpoint, isHTTP2: origin.isHTTP2, &epoch, &upstreams)
        }
        record.upstreamProtocol = .tcp
        return upstreams.enter(&attempt, pool, now: picking.now) ? nil : .overflow
    }

    /// The last field of the head, which tells attempts apart.
    @inline(__always)
    private static func countAttempt(_ request: inout Request) {
        if request.attempt.retries > 0 { request.head.truncate(fields: request.sharedFields, text: request.sharedText) }
        if request.plan.effects.contains(.omitsAttemptCount) { return }
        let number = UInt64(request.attempt.retries) + 1
        request.head.add("X-Envoy-Attempt-Count", .envoyAttemptCount, bytesMax: 20) { $0.append(decimal: number) }
    }

    /// Gives the request a connection of its pool, kept or new, and the request to it.
    static func attach(
        _ id: SlotID, _ request: inout Request, _ upstreams: inout Upstreams, isFresh: Bool, _ loop: inout WorkerLoop
    ) -> Outcome {
        request.body.endIsSent = false
        request.phase = .attempting
        let attachment = upstreams.attach(
            LoopToken(.request, id), &request.attempt, request.head, framing: request.framing,
            upgrades: request.traits.contains(.wantsUpgrade), isFresh: isFresh, client: request.origin, &loop)
        let elapsed = request.elapsed(loop.now)
        switch attachment {
        case .sent:
            request.log.record.attemptCount &+= 1
            note(&request, &upstreams, connectedAt: RequestTimes.absent, sentAt: elapsed)
            if request.body.isComplete && request.origin.isHTTP2 { request.log.record.times.upstreamSendEnd = elapsed }
        case .connecting:
            request.log.record.attemptCount &+= 1
            request.log.record.times.upstreamConnectBegin = elapsed
        case .waiting:
            request.log.record.times.upstreamConnectBegin = elapsed
            return .begun
        case .overflow: return .answer(.overflow)
        case .tableFull:
            let body: StaticString = "too many upstream connections"
            return .answer(LocalAnswer(503, .overflowBeforeResponse, [.upstreamOverflow], body: body))
        case .failed(let failure):
            request.log.record.attemptCount &+= 1
            return .failed(failure)
        }
        RequestSending.sendHeld(&request, &upstreams)
        return .begun
    }

    /// Notes in the record that the attempt is on its connection now.
    static func note(_ request: inout Request, _ upstreams: inout Upstreams, connectedAt: UInt64, sentAt: UInt64) {
        let id = request.attempt.upstream
        request.log.record.times.upstreamSendBegin = sentAt
        if connectedAt != RequestTimes.absent { request.log.record.times.upstreamConnectEnd = connectedAt }
        request.log.record.upstreamLocal = upstreams.connections[id].local
        request.log.record.upstreamProtocol = upstreams.connections[id].http.isHTTP2 ? .http2 : .http11
        upstreams.note(id, in: &request.log)
    }
}
