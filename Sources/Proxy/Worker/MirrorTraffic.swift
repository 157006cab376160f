internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import Streams
internal import TelemetryModel

/// Copies of requests under way (`MirrorCopy`): made with their originals, fed with their bodies, and ended by what they are answered, by
/// their time, or with originals that are given up.
struct MirrorTraffic: ~Copyable {
    private var mirrors: Slab<MirrorCopy>
    /// What has ended during the turn and is reused from the next one on.
    private var finished = WorkList<SlotID>(capacity: 8)

    init(_ limits: ProxyLimits) { mirrors = Slab(countMax: limits.downstreamConnectionsMax) }

    /// Copies under way.
    var count: Int { mirrors.count }

    /// The end of a turn.
    mutating func reapMirrors() {
        for index in 0..<finished.count { mirrors.park(retired: finished[index]) }
        finished.removeAll()
    }

    // MARK: With the original

    /// Sends the copies that the draws ask for.
    mutating func sendMirrors(_ request: inout Request, _ sides: inout Sides) {
        let tables = sides.epochs.all[request.epoch].tables
        let entries = tables.actions(UInt32(request.plan.route)).mirrors
        for index in entries.indices {
            let entry = tables.mirror(index)
            guard entry.cluster >= 0,
                entry.share >= 1_000_000 || sides.context.draws.mirror.below(1_000_000) < entry.share
            else { continue }
            addMirror(of: &request, Int(entry.cluster), &sides)
        }
    }

    private mutating func addMirror(of request: inout Request, _ cluster: Int, _ sides: inout Sides) {
        guard request.mirrorCount < Request.mirrorsMax, request.body.bytes.count <= sides.limits.shadowBytesMax,
            let id = mirrors.reuse() ?? mirrors.insert(MirrorCopy())
        else {
            return sides.loop.countEvent { $0.add($0.mirrorsDropped) }
        }
        sides.loop.countEvent { $0.add($0.mirrors) }
        mirrors[id].begin(copyOf: &request)
        let epoch = request.epoch
        sides.epochs.enter(epoch)
        mirrors[id].timer = sides.loop.arm(.mirrorTime, id, at: sides.loop.now + sides.limits.shadowTimeoutNanoseconds)
        request.mirrors[request.mirrorCount] = id
        request.mirrorCount += 1
        let isSent = mirrors[id].send(
            id, cluster: cluster, &sides.upstreams, &sides.context, &sides.loop, &sides.epochs.all[epoch])
        if !isSent { finishMirror(id, &sides) }
    }

    /// Body bytes of the original go to its copies too; one that cannot take them is dropped.
    mutating func copyBody(of request: inout Request, _ bytes: LentBytes, _ sides: inout Sides) {
        for index in 0..<request.mirrorCount {
            let id = request.mirrors[index]
            guard mirrors.contains(id) else { continue }
            if !mirrors[id].send(bytes, &sides.upstreams, bytesMax: sides.limits.shadowBytesMax) { dropMirror(id, &sides) }
        }
    }

    /// The original has been received whole.
    mutating func endMirrors(of request: inout Request, _ sides: inout Sides) {
        for index in 0..<request.mirrorCount where mirrors.contains(request.mirrors[index]) {
            mirrors[request.mirrors[index]].finish(trailers: request.body.trailers.lent, &sides.upstreams)
        }
    }

    /// The original is over: copies whose request will never be complete go with it.
    mutating func releaseMirrors(of request: inout Request, _ sides: inout Sides) {
        for index in 0..<request.mirrorCount {
            let id = request.mirrors[index]
            if mirrors.contains(id), !mirrors[id].body.isComplete { dropMirror(id, &sides) }
        }
        request.mirrorCount = 0
    }

    // MARK: With the endpoint

    /// A copy that waited for a connection may have one now. False = another worker was faster.
    mutating func serveMirror(_ id: SlotID, _ sides: inout Sides) -> Bool {
        guard mirrors.contains(id), mirrors[id].attempt.isWaiting else { return true }
        mirrors[id].attempt.isWaiting = false
        if !mirrors[id].attach(id, &sides.upstreams, &sides.loop) { dropMirror(id, &sides) }
        return !mirrors.contains(id) || !mirrors[id].attempt.isWaiting
    }

    /// Whether a copy's attempt has this stream of this connection.
    mutating func isOf(_ id: SlotID, _ upstream: SlotID, stream: Int32) -> Bool {
        mirrors.contains(id) && mirrors[id].attempt.isOn(upstream, stream: stream)
    }

    mutating func noteConnected(_ id: SlotID, _ sides: inout Sides) {
        if mirrors.contains(id) { sides.upstreams.stopPending(&mirrors[id].attempt) }
    }

    /// What the endpoint says is read and dropped.
    mutating func takeEvent(_ event: HTTPEvent, of upstream: SlotID, for id: SlotID, _ sides: inout Sides) {
        switch event.kind {
        case .head:
            let section = sides.inbox.contents.block(of: event)
            if section.isTrailers || section.status < 200 { return }
            mirrors[id].hasResponded = true
            sides.upstreams.judge(mirrors[id].attempt, .response(status: section.status), now: sides.loop.now)
        case .data: sides.upstreams.connections[upstream].http.consume(Int(event.count), stream: event.stream)
        case .end:
            let isWhole = mirrors[id].hasResponded && mirrors[id].body.endIsSent
            sides.upstreams.release(&mirrors[id].attempt, isWhole: isWhole, &sides.loop)
            finishMirror(id, &sides)
        case .closed:
            mirrors[id].attempt.upstream = .none
            sides.upstreams.streamFreed(upstream, &sides.loop)
            finishMirror(id, &sides)
        case .goAway: break
        }
    }

    /// The connection is gone.
    mutating func endpointEnded(_ id: SlotID, _ upstream: SlotID, _ sides: inout Sides) {
        if mirrors.contains(id), mirrors[id].attempt.upstream == upstream { finishMirror(id, &sides) }
    }

    // MARK: The end

    mutating func dropMirror(_ id: SlotID, _ sides: inout Sides) {
        guard mirrors.contains(id) else { return }
        sides.loop.countEvent { $0.add($0.mirrorsDropped) }
        finishMirror(id, &sides)
    }

    private mutating func finishMirror(_ id: SlotID, _ sides: inout Sides) {
        sides.upstreams.abandon(&mirrors[id].attempt, &sides.loop)
        sides.upstreams.leave(&mirrors[id].attempt)
        sides.loop.cancel(&mirrors[id].timer)
        let epoch = mirrors[id].epoch
        mirrors.retire(id)
        finished.append(id)
        sides.leaveEpoch(epoch)
    }
}
