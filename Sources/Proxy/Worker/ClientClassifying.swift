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
        /// Passed on untouched; with TLS, the place of the server's name in the bytes.
        case tunnel(isTLS: Bool, serverName: Range<Int>)
    }

    /// A connection has been accepted. True = it is passed on without a look at its bytes.
    static func classify(_ id: SlotID, _ sides: inout Sides) -> Bool {
        sides.downstreams.settleSource(id)
        let index = sides.downstreams.listeners[sides.downstreams.connections[id].listener].index
        guard index >= 0 else { return false }
        let tables = unsafe sides.epochs.all[sides.epochs.current].tables
        let entry = unsafe tables.listener(index)
        var mode = entry.mode
        if entry.isCapture {
            let dialled = Socket.originalDestination(sides.downstreams.connections[id].stream.descriptor)
            if dialled.family != .absent, dialled != sides.downstreams.connections[id].local {
                sides.downstreams.connections[id].local = dialled
                sides.downstreams.connections[id].isCaptured = true
                mode = unsafe tables.mode(listener: index, dialled: dialled)
            }
        }
        switch mode {
        case .http: return false
        case .detect: awaitFirstBytes(id, .protocolDetection, &sides)
        case .tcp:
            guard unsafe tables.needsServerName(listener: index, dialled: sides.downstreams.connections[id].local) else { return true }
            awaitFirstBytes(id, .serverName, &sides)
        }
        return false
    }

    private static func awaitFirstBytes(_ id: SlotID, _ awaited: DownstreamConnection.Awaited, _ sides: inout Sides) {
        sides.downstreams.connections[id].awaits = awaited
        sides.downstreams.setDeadline(id, .detection, after: sides.limits.detectionNanoseconds, &sides.loop)
    }

    /// Looks at the first bytes of a connection that awaits them.
    static func detect(_ id: SlotID, _ bytes: UnsafeRawBufferPointer, _ sides: inout Sides) -> Verdict {
        switch unsafe ProtocolSniffer.look(bytes) {
        case .undecided: return .undecided
        // On a port for connections everything is one, whatever it looks like.
        case .http where sides.downstreams.connections[id].awaits != .serverName:
            sides.downstreams.connections[id].awaits = .nothing
            sides.downstreams.setDeadline(id, .idle, after: sides.limits.idleTimeoutNanoseconds, &sides.loop)
            return .http
        case .tls:
            guard case .hello(let place, _) = unsafe ClientHello.parse(bytes) else { return .tunnel(isTLS: false, serverName: 0..<0) }
            return .tunnel(isTLS: true, serverName: place)
        case .http, .other: return .tunnel(isTLS: false, serverName: 0..<0)
        }
    }
}
