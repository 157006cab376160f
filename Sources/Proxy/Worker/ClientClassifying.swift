internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import Streams

/// What a new connection is: told by its listener, by the address it was meant for, or by its first bytes.
enum ClientClassifying {
    enum Verdict {
        /// More must arrive.
        case undecided
        case http
        /// Passed on untouched; with TLS, the name that the client asked for.
        case tunnel(isTLS: Bool, serverName: [UInt8])
        /// It is closed.
        case refused
    }

    /// A connection has been accepted. True = it is passed on without a look at its bytes.
    static func classify(_ id: SlotID, _ sides: inout Sides) -> Bool {
        sides.downstreams.settleSource(id)
        findDialled(id, &sides)
        return ClientSecuring.awaitsBytes(id, &sides) ? false : classifySettled(id, &sides)
    }

    /// Where a captured connection was going.
    private static func findDialled(_ id: SlotID, _ sides: inout Sides) {
        let index = sides.downstreams.listeners[sides.downstreams.connections[id].listener].index
        guard index >= 0, sides.epochs.all[sides.epochs.current].tables.listener(index).isCapture else { return }
        let dialled = Socket.originalDestination(sides.downstreams.connections[id].stream.descriptor)
        guard dialled.family != .absent, dialled != sides.downstreams.connections[id].local else { return }
        sides.downstreams.connections[id].local = dialled
        sides.downstreams.connections[id].isCaptured = true
    }

    /// As `classify`, once it is known whether and how the connection is secured.
    static func classifySettled(_ id: SlotID, _ sides: inout Sides) -> Bool {
        let index = sides.listenerRow(id)
        guard index >= 0 else { return false }
        let tables = sides.epochs.all[sides.epochs.current].tables
        let entry = tables.listener(index)
        var mode = entry.mode
        if sides.downstreams.connections[id].isCaptured {
            mode = tables.mode(listener: index, dialled: sides.downstreams.connections[id].local)
        }
        // Istio's proxies say what they speak (semantics 2.7).
        if mode == .detect, let agreed = sides.downstreams.connections[id].stream.agreement?.applicationProtocol, !agreed.isEmpty {
            return agreed == "istio" || agreed == "istio-peer-exchange"
        }
        switch mode {
        case .http: return false
        case .detect: awaitFirstBytes(id, .protocolDetection, &sides)
        case .tcp:
            guard tables.needsServerName(listener: index, dialled: sides.downstreams.connections[id].local) else { return true }
            awaitFirstBytes(id, .serverName, &sides)
        }
        return false
    }

    private static func awaitFirstBytes(_ id: SlotID, _ awaited: DownstreamConnection.Awaited, _ sides: inout Sides) {
        sides.downstreams.connections[id].awaits = awaited
        sides.downstreams.setDeadline(id, .detection, after: sides.limits.detectionNanoseconds, &sides.loop)
    }

    /// Looks at the first bytes of a connection that awaits them.
    static func detect(_ id: SlotID, _ bytes: LentBytes, _ sides: inout Sides) -> Verdict {
        switch ClientHello.parse(bytes) {
        case .incomplete: return .undecided
        case .hello(let name, _): return .tunnel(isTLS: true, serverName: name)
        case .refused(let refusal):
            // Without its name it would go where none is asked for.
            ClientRefusing.refuseHandshake(id, "\(refusal)", &sides)
            return .refused
        case .notTLS: break
        }
        switch ProtocolSniffer.look(bytes) {
        case .undecided: return .undecided
        // On a port for connections everything is one, whatever it looks like.
        case .http where sides.downstreams.connections[id].awaits != .serverName:
            sides.downstreams.connections[id].awaits = .nothing
            sides.downstreams.setDeadline(id, .idle, after: sides.limits.idleTimeoutNanoseconds, &sides.loop)
            return .http
        case .http, .tls, .other: return .tunnel(isTLS: false, serverName: [])
        }
    }
}
