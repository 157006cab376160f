internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import Streams
internal import TelemetryModel

/// Tunnels: connections that pass untouched from their first byte on, and requests that were switched to another protocol. Both of their
/// sides are told here what the other one did.
struct TunnelTraffic: ~Copyable {
    private(set) var tunnels: Slab<Tunnel>
    var splicing: Splicing
    /// What has ended during the turn and is reused from the next one on.
    private var finished = WorkList<SlotID>(capacity: 8)

    init(_ limits: ProxyLimits) {
        tunnels = Slab(countMax: limits.downstreamConnectionsMax)
        splicing = Splicing(
            pipesMax: limits.splicePipesMax, pipeBytes: limits.splicePipeBytes, bytesMin: limits.spliceBytesMin,
            roundsMax: limits.readsPerTurnMax)
    }

    @inline(__always)
    func isTunnel(_ id: SlotID) -> Bool { tunnels.contains(id) }

    /// The end of a turn.
    mutating func reapTunnels() {
        for index in 0..<finished.count { tunnels.park(retired: finished[index]) }
        finished.removeAll()
    }

    /// A tunnel that waited for a connection may have one now. False = another worker was faster.
    mutating func serveTunnel(_ id: SlotID, _ sides: inout Sides) -> Bool {
        guard tunnels.contains(id), tunnels[id].attempt.isWaiting else { return true }
        tunnels[id].attempt.isWaiting = false
        attachTunnel(id, &sides)
        return !tunnels.contains(id) || !tunnels[id].attempt.isWaiting
    }

    /// Whether the endpoint, an HTTP proxy, has not said yet that it is connected further.
    mutating func isAwaitingConnect(_ id: SlotID) -> Bool { tunnels[id].awaitsConnect }

    // MARK: Beginning

    /// Connects a client's connection to an endpoint, as the routes of its listener say.
    mutating func openTunnel(_ connection: SlotID, isTLS: Bool, serverName: LentBytes, _ sides: inout Sides) {
        sides.downstreams.connections[connection].awaits = .nothing
        let listener = sides.listenerRow(connection)
        guard listener >= 0, let id = tunnels.reuse() ?? tunnels.insert(Tunnel()) else {
            return sides.downstreams.close(connection, &sides.loop)
        }
        let epoch = sides.epochs.enter()
        tunnels[id].begin(.tcp, sides.makeOrigin(connection, 0), epoch: epoch, start: sides.loop.now)
        sides.downstreams.connections[connection].tunnel = id
        let tables = sides.epochs.all[epoch].tables
        var cluster = -1
        switch tables.decideTCP(
            listener: listener, dialled: tunnels[id].origin.local, isTLS: isTLS, serverName: serverName, draw: &sides.context.draws.route)
        {
        case .none: break
        case .noCluster(let route): tunnels[id].log.record.route = route
        case .cluster(let chosen, let route):
            tunnels[id].log.record.route = route
            cluster = Int(chosen)
        }
        let captured = sides.epochs.all[epoch].plan.requestHeaders.count
        tunnels[id].startRecord(serverName, captured: captured, sides.limits, unixNanoseconds: sides.loop.unixNow)
        sides.downstreams.note(connection, in: &tunnels[id].log)
        touchTunnel(id, &sides)
        guard cluster >= 0 else { return refuseTunnel(id, sides.epochs.all[epoch].noWay(listener: listener), &sides) }
        if let refusal = Authorising.refusalOfConnection(tunnels[id].origin, serverName, &sides.context, &sides.epochs.all[epoch]) {
            return refuseTunnel(id, refusal, &sides)
        }
        tunnels[id].cluster = cluster
        guard ExternalAuthorising.asks(about: tunnels[id].origin, serverName, &sides.context, &sides.epochs.all[epoch]) else {
            return connectTunnel(id, cluster, &sides)
        }
        followCheck(id, ConnectionChecks.begin(id, &tunnels[id], serverName, &sides), &sides)
    }

    private mutating func followCheck(_ id: SlotID, _ outcome: CheckTraffic.Outcome, _ sides: inout Sides) {
        switch outcome {
        case .waiting: return
        case .passed: connectTunnel(id, tunnels[id].cluster, &sides)
        case .refused(let answer): refuseTunnel(id, answer, &sides)
        }
    }

    /// The check of a connection has come to its end: the connection goes on.
    mutating func concludeCheck(_ id: SlotID, _ sides: inout Sides) {
        followCheck(id, ConnectionChecks.conclude(&tunnels[id], &sides), &sides)
    }

    private mutating func connectTunnel(_ id: SlotID, _ index: Int, _ sides: inout Sides) {
        let epoch = tunnels[id].epoch
        let cluster = sides.epochs.all[epoch].tables.cluster(index)
        tunnels[id].log.record.cluster = cluster.name
        let source = tunnels[id].origin.labels.source
        tunnels[id].log.record.labels = LabelPair(source: source, destination: cluster.labels)
        tunnels[id].awaitsConnect = sides.epochs.all[epoch].tables.tunnelTarget(cluster) != nil
        tunnels[id].idleNanoseconds = cluster.tcpIdleTimeoutNanoseconds == 0 ? .max : cluster.tcpIdleTimeoutNanoseconds
        touchTunnel(id, &sides)
        if cluster.maxConnectionNanoseconds > 0 {
            tunnels[id].timeTimer = sides.loop.arm(.tunnelTime, id, at: sides.loop.now + cluster.maxConnectionNanoseconds)
        }
        enterEndpoint(id, cluster, index, &sides)
    }

    private mutating func enterEndpoint(_ id: SlotID, _ cluster: ClusterEntry, _ index: Int, _ sides: inout Sides) {
        let epoch = tunnels[id].epoch
        let slot = sides.epochs.all[epoch].tables.clusterSlot(index)
        let picking = EndpointPicking(cluster: slot, index: index, hash: nil, now: sides.loop.now, retriesElsewhere: false)
        let refusal = tunnels[id].enter(picking, &sides.upstreams, &sides.epochs.all[epoch], &sides.context.draws.balance)
        if let refusal { return refuseTunnel(id, refusal, &sides) }
        if let series = tunnels[id].countOpened() { sides.recorder.add(series) }
        tunnels[id].attempt.began = sides.loop.now
        attachTunnel(id, &sides)
        guard tunnels.contains(id), sides.upstreams.isOpen(tunnels[id].attempt.upstream) else { return }
        if let target = sides.epochs.all[tunnels[id].epoch].tables.tunnelTarget(cluster) {
            ProxyConnect.ask(for: target, &sides.upstreams.connections[tunnels[id].attempt.upstream].stream.output)
        }
        tunnels[id].reportTimer = sides.loop.arm(.tunnelReport, id, at: sides.loop.now + sides.limits.tcpReportNanoseconds)
    }

    /// Gives a tunnel its connection.
    mutating func attachTunnel(_ id: SlotID, _ sides: inout Sides) {
        let elapsed = tunnels[id].elapsed(sides.loop.now)
        tunnels[id].log.record.times.upstreamConnectBegin = elapsed
        let origin = tunnels[id].origin
        switch sides.upstreams.attach(tunnel: id, &tunnels[id].attempt, client: origin, &sides.loop) {
        case .waiting: break
        case .sent, .connecting:
            tunnels[id].log.record.attemptCount &+= 1
            sides.downstreams.resumeLater(origin.connection)
        case .overflow: refuseTunnel(id, .overflow, &sides)
        case .tableFull: refuseTunnel(id, LocalAnswer(503, .overflowBeforeResponse, [.upstreamOverflow]), &sides)
        case .failed(let failure):
            tunnels[id].log.record.attemptCount &+= 1
            tunnelFailed(id, failure, &sides)
        }
    }

    mutating func tunnelConnected(_ id: SlotID, _ sides: inout Sides) {
        sides.upstreams.stopPending(&tunnels[id].attempt)
        sides.upstreams.judge(tunnels[id].attempt, .connected, now: sides.loop.now)
        let elapsed = tunnels[id].elapsed(sides.loop.now)
        tunnels[id].log.record.times.upstreamConnectEnd = elapsed
        tunnels[id].log.record.times.upstreamSendBegin = elapsed
        tunnels[id].log.record.upstreamLocal = sides.upstreams.connections[tunnels[id].attempt.upstream].local
        tunnels[id].log.record.upstreamProtocol = .http11
        sides.upstreams.note(tunnels[id].attempt.upstream, in: &tunnels[id].log)
        sides.downstreams.resumeLater(tunnels[id].origin.connection)
    }

    /// A request has been switched to another protocol: its record and its connections are the tunnel's now. False = there are too many.
    mutating func takeOver(_ request: inout Request, upstream: SlotID, _ sides: inout Sides) -> Bool {
        guard let id = tunnels.reuse() ?? tunnels.insert(Tunnel()) else { return false }
        let connection = request.origin.connection
        tunnels[id].begin(.upgrade, request.origin, epoch: request.epoch, start: request.start)
        swap(&tunnels[id].log, &request.log)
        AttemptEnding.releaseRetry(&request.attempt, &sides.upstreams)
        tunnels[id].attempt = request.attempt
        tunnels[id].idleNanoseconds = sides.limits.streamIdleTimeoutNanoseconds
        sides.downstreams.connections[connection].tunnel = id
        sides.downstreams.connections[connection].request = .none
        sides.upstreams.connections[upstream].tunnel = id
        sides.loop.cancel(&request.routeTimer)
        touchTunnel(id, &sides)
        sides.downstreams.resumeLater(connection)
        return true
    }

    /// Idle is who neither sends nor takes anything, as Envoy counts it (`TcpProxy.idle_timeout`: bytes sent or received on either side).
    private mutating func touchTunnel(_ id: SlotID, _ sides: inout Sides) {
        let connection = tunnels[id].origin.connection
        guard sides.downstreams.isOpen(connection) else { return }
        sides.downstreams.setDeadline(connection, .stream, after: tunnels[id].idleNanoseconds, &sides.loop)
    }

    // MARK: Bytes

    /// Whether bytes of the client have somewhere to go.
    mutating func canTake(tunnel id: SlotID, _ sides: inout Sides) -> Bool {
        let upstream = tunnels[id].attempt.upstream
        guard sides.upstreams.isOpen(upstream), !tunnels[id].awaitsConnect else { return false }
        let high = sides.limits.outputHighWatermark
        return sides.upstreams.connections[upstream].stream.waiting(spliceCounts: high) < high
    }

    /// Passes bytes of the client on; returns how many.
    mutating func relayFromClient(_ connection: SlotID, _ bytes: LentBytes, _ sides: inout Sides) -> Int {
        let id = sides.downstreams.connections[connection].tunnel
        guard tunnels.contains(id), sides.upstreams.isOpen(tunnels[id].attempt.upstream), !tunnels[id].awaitsConnect else { return 0 }
        let upstream = tunnels[id].attempt.upstream
        tunnels[id].log.record.requestBodyBytes &+= UInt64(bytes.count)
        touchTunnel(id, &sides)
        if sides.upstreams.connections[upstream].state == .active {
            if unsafe sides.upstreams.connections[upstream].stream.write(bytes.buffer) == .failed { closeTunnel(id, &sides) }
        } else {
            sides.upstreams.connections[upstream].stream.output.append(bytes)
        }
        return bytes.count
    }

    /// Passes bytes of the endpoint on; returns how many were taken.
    mutating func relayFromEndpoint(_ upstream: SlotID, _ id: SlotID, _ bytes: LentBytes, _ sides: inout Sides) -> Int {
        touchTunnel(id, &sides)
        if tunnels[id].awaitsConnect { return takeAnswer(upstream, id, bytes, &sides) }
        noteFirstByte(id, &sides)
        tunnels[id].log.record.responseBodyBytes &+= UInt64(bytes.count)
        let connection = tunnels[id].origin.connection
        guard sides.downstreams.isOpen(connection) else { return bytes.count }
        switch unsafe sides.downstreams.connections[connection].stream.write(bytes.buffer) {
        case .failed: abandonTunnel(id, &sides)
        case .flushed: break
        case .blocked:
            let waiting = sides.downstreams.connections[connection].stream.output.count
            sides.upstreams.connections[upstream].isPaused = waiting >= sides.limits.outputHighWatermark
        }
        return bytes.count
    }

    private mutating func noteFirstByte(_ id: SlotID, _ sides: inout Sides) {
        guard tunnels[id].log.record.times.upstreamReceiveBegin == RequestTimes.absent else { return }
        tunnels[id].log.record.times.upstreamReceiveBegin = tunnels[id].elapsed(sides.loop.now)
    }

    /// Reads the endpoint's answer to CONNECT.
    private mutating func takeAnswer(_ upstream: SlotID, _ id: SlotID, _ bytes: LentBytes, _ sides: inout Sides) -> Int {
        let answer = ProxyConnect.read(bytes, &tunnels[id].answerScan, sides.limits.http, &sides.context.responseHead)
        switch answer {
        case .incomplete: return 0
        case .interim(let count), .connected(let count):
            if case .connected = answer {
                tunnels[id].awaitsConnect = false
                sides.upstreams.connections[upstream].deadline.set(&sides.loop, .upstream, upstream, after: .max)
                sides.downstreams.resumeLater(tunnels[id].origin.connection)
            }
            let rest = bytes.from(count)
            return rest.isEmpty ? count : count + relayFromEndpoint(upstream, id, rest, &sides)
        case .refused: break
        }
        tunnelFailed(id, .connectFailure(code: 0), &sides)
        return bytes.count
    }

    /// Moves bytes of a busy client inside the kernel. False = nothing is left to do now.
    mutating func spliceRequest(_ connection: SlotID, _ sides: inout Sides) -> Bool {
        let id = sides.downstreams.connections[connection].tunnel
        let upstream = tunnels[id].attempt.upstream
        guard sides.upstreams.isOpen(upstream), sides.upstreams.connections[upstream].state == .active,
            sides.downstreams.connections[connection].input.isEmpty
        else { return true }
        var moved: UInt64 = 0
        let outcome = splicing.move(
            from: &sides.downstreams.connections[connection].stream, to: &sides.upstreams.connections[upstream].stream, moved: &moved)
        tunnels[id].log.record.requestBodyBytes &+= moved
        noteSpliced(id, moved, &sides)
        switch outcome {
        case .declined: return true
        // `canTake` holds the client back until the pipe is empty.
        case .drained, .blocked: return false
        case .unfinished:
            sides.downstreams.resumeLater(connection)
            return false
        case .sourceEnded:
            tunnelEnded(id, fromClient: true, &sides)
            return false
        case .targetFailed:
            closeTunnel(id, &sides)
            return false
        }
    }

    /// Moves bytes of a busy endpoint inside the kernel. False = nothing is left to do now.
    mutating func spliceResponse(_ upstream: SlotID, _ sides: inout Sides) -> Bool {
        let id = sides.upstreams.connections[upstream].tunnel
        let connection = tunnels[id].origin.connection
        guard sides.downstreams.isOpen(connection), sides.upstreams.connections[upstream].input.isEmpty, !tunnels[id].awaitsConnect
        else { return true }
        var moved: UInt64 = 0
        let outcome = splicing.move(
            from: &sides.upstreams.connections[upstream].stream, to: &sides.downstreams.connections[connection].stream, moved: &moved)
        tunnels[id].log.record.responseBodyBytes &+= moved
        noteSpliced(id, moved, &sides)
        switch outcome {
        case .declined: return true
        case .drained: return false
        case .blocked:
            sides.upstreams.connections[upstream].isPaused = true
            return false
        case .unfinished:
            sides.resumedUpstreams.append(upstream)
            return false
        case .sourceEnded:
            tunnelEnded(id, fromClient: false, &sides)
            return false
        case .targetFailed:
            abandonTunnel(id, &sides)
            return false
        }
    }

    private mutating func noteSpliced(_ id: SlotID, _ count: UInt64, _ sides: inout Sides) {
        guard count > 0 else { return }
        touchTunnel(id, &sides)
        sides.loop.countEvent { $0.add($0.splicedBytes, count) }
    }

    // MARK: Ends

    /// One side sends no more: the other is told once it has everything, and the tunnel ends with the second end.
    mutating func tunnelEnded(_ id: SlotID, fromClient: Bool, _ sides: inout Sides) {
        if fromClient { tunnels[id].isClientEnded = true } else { tunnels[id].isEndpointEnded = true }
        tunnelFlushed(id, toClient: !fromClient, &sides)
    }

    /// A client has taken some of what waits for it.
    mutating func clientDrained(_ connection: SlotID, _ sides: inout Sides) {
        let id = sides.downstreams.connections[connection].tunnel
        if tunnels.contains(id) { touchTunnel(id, &sides) }
    }

    /// An endpoint has taken some of what waits for it. `wakes`: enough for the client to be read again.
    mutating func endpointDrained(_ id: SlotID, wakes: Bool, _ sides: inout Sides) {
        touchTunnel(id, &sides)
        if wakes { sides.downstreams.resumeLater(tunnels[id].origin.connection) }
    }

    /// Everything is out to one side.
    mutating func tunnelFlushed(_ id: SlotID, toClient: Bool, _ sides: inout Sides) {
        let connection = tunnels[id].origin.connection
        let upstream = tunnels[id].attempt.upstream
        let isUpstreamOpen = sides.upstreams.isOpen(upstream)
        touchTunnel(id, &sides)
        let isSent = !isUpstreamOpen || sides.upstreams.connections[upstream].stream.isFlushed
            || sides.upstreams.connections[upstream].state == .connecting
        if tunnels[id].isOver {
            // What one of them has not taken yet is still for it.
            let isTaken = !sides.downstreams.isOpen(connection) || sides.downstreams.connections[connection].stream.isFlushed
            if isSent, isTaken { closeTunnel(id, &sides) }
            return
        }
        if toClient {
            guard sides.downstreams.isOpen(connection), sides.downstreams.connections[connection].stream.isFlushed else { return }
            if tunnels[id].isEndpointEnded { return sides.downstreams.connections[connection].stream.shutdownWrite() }
            guard isUpstreamOpen, sides.upstreams.connections[upstream].isPaused else { return }
            sides.upstreams.connections[upstream].isPaused = false
            sides.resumedUpstreams.append(upstream)
        } else {
            guard isUpstreamOpen, sides.upstreams.connections[upstream].state == .active,
                sides.upstreams.connections[upstream].stream.isFlushed
            else { return }
            if tunnels[id].isClientEnded { return sides.upstreams.connections[upstream].stream.shutdownWrite() }
            sides.downstreams.resumeLater(connection)
        }
    }

    /// Ends a tunnel; what the client has not taken yet is still for it.
    mutating func closeTunnel(_ id: SlotID, _ sides: inout Sides) {
        let connection = tunnels[id].origin.connection
        finishTunnel(id, &sides)
        guard sides.downstreams.isOpen(connection) else { return }
        sides.downstreams.connections[connection].tunnel = .none
        if sides.downstreams.connections[connection].stream.isFlushed {
            sides.downstreams.close(connection, &sides.loop)
        } else {
            sides.downstreams.connections[connection].closesAfterFlush = true
        }
    }

    /// The client is gone.
    mutating func abandonTunnel(_ id: SlotID, _ sides: inout Sides) {
        tunnels[id].log.record.flags.insert(.downstreamConnectionTermination)
        tunnels[id].log.record.details = .downstreamRemoteDisconnect
        let connection = tunnels[id].origin.connection
        finishTunnel(id, &sides)
        guard sides.downstreams.isOpen(connection) else { return }
        splicing.release(&sides.downstreams.connections[connection].stream)
        sides.abandonClient(connection)
    }

    private mutating func refuseTunnel(_ id: SlotID, _ answer: LocalAnswer, _ sides: inout Sides) {
        tunnels[id].log.record.note(answer)
        let connection = tunnels[id].origin.connection
        finishTunnel(id, &sides)
        sides.downstreams.close(connection, &sides.loop)
    }

    /// No connection to the endpoint came about.
    mutating func tunnelFailed(_ id: SlotID, _ failure: AttemptFailure, _ sides: inout Sides) {
        sides.upstreams.note(failure, of: tunnels[id].attempt, unixNanoseconds: sides.loop.unixNow)
        sides.upstreams.judge(tunnels[id].attempt, failure.outcome, now: sides.loop.now)
        if failure.isOfConnecting { sides.loop.countEvent { $0.add($0.upstreamConnectFailures) } }
        if failure == .transportFailure { sides.upstreams.noteFailure(tunnels[id].attempt.upstream, in: &tunnels[id].log) }
        refuseTunnel(id, LocalAnswer(503, failure.details, [failure.flag]), &sides)
    }

    /// Counts the tunnel and hands its record over.
    private mutating func finishTunnel(_ id: SlotID, _ sides: inout Sides) {
        let upstream = tunnels[id].attempt.upstream
        if sides.upstreams.isOpen(upstream) { splicing.release(&sides.upstreams.connections[upstream].stream) }
        sides.upstreams.abandon(&tunnels[id].attempt, &sides.loop)
        sides.upstreams.leave(&tunnels[id].attempt)
        sides.loop.cancel(&tunnels[id].timeTimer)
        sides.loop.cancel(&tunnels[id].reportTimer)
        if !tunnels[id].check.isNone { ConnectionChecks.release(&tunnels[id], &sides) }
        let duration = tunnels[id].elapsed(sides.loop.now)
        let epoch = tunnels[id].epoch
        let isRecorded = RecordTexts.isWanted(tunnels[id].log.record, &sides.epochs.all[epoch].plan)
        if let series = tunnels[id].countOpened() { sides.recorder.add(series) }
        if let series = tunnels[id].report(isClosed: true) {
            sides.recorder.add(series)
            sides.recorder.finishTCP(&tunnels[id].log, durationNanoseconds: duration, isRecorded: isRecorded)
        } else {
            sides.recorder.finish(&tunnels[id].log, durationNanoseconds: duration, isRecorded: isRecorded)
        }
        tunnels.retire(id)
        finished.append(id)
        sides.leaveEpoch(epoch)
    }

    // MARK: Time

    /// Adds to the counters what has moved since the last report.
    mutating func reportTunnel(_ id: SlotID, _ sides: inout Sides) {
        guard tunnels.contains(id) else { return }
        if let series = tunnels[id].report(isClosed: false) { sides.recorder.add(series) }
        tunnels[id].reportTimer = sides.loop.arm(.tunnelReport, id, at: sides.loop.now + sides.limits.tcpReportNanoseconds)
    }

    mutating func tunnelTimedOut(_ id: SlotID, _ sides: inout Sides) {
        guard tunnels.contains(id) else { return }
        tunnels[id].timeTimer = .none
        tunnels[id].log.record.flags.insert(.durationTimeout)
        tunnels[id].log.record.details = .maxDurationTimeout
        closeTunnel(id, &sides)
    }

    mutating func tunnelStoodStill(_ id: SlotID, _ sides: inout Sides) {
        tunnels[id].log.record.flags.insert(.streamIdleTimeout)
        closeTunnel(id, &sides)
    }
}
