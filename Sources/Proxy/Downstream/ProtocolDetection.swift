internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// What a new connection is: told by its listener, by the address it was meant for, or by its first bytes.
extension ProxyWorker {
    /// A connection has been accepted: requests are awaited, bytes are looked at, or it is passed on at once.
    mutating func classify(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id) else { return }
        let index = unsafe listeners[connection.pointee.listener].index
        guard index >= 0 else { return }
        let entry = unsafe tables.listener(index)
        var mode = entry.mode
        if entry.isCapture {
            let dialled = unsafe Socket.originalDestination(connection.pointee.fd)
            if dialled.family != .absent, unsafe dialled != connection.pointee.local {
                unsafe connection.pointee.local = dialled
                unsafe connection.pointee.isCaptured = true
                mode = unsafe tables.mode(listener: index, dialled: dialled)
            }
        }
        switch mode {
        case .http: break
        case .tcp:
            if unsafe tables.needsServerName(listener: index, dialled: connection.pointee.local) {
                unsafe connection.pointee.awaits = .serverName
                setDeadline(ofDownstream: id, .detection, after: limits.detectionNanoseconds)
            } else {
                unsafe routeTCP(id, isTLS: false, serverName: UnsafeRawBufferPointer(start: nil, count: 0))
            }
        case .detect:
            unsafe connection.pointee.awaits = .protocolDetection
            setDeadline(ofDownstream: id, .detection, after: limits.detectionNanoseconds)
        }
    }

    /// Looks at the first bytes. False = more must arrive.
    mutating func detect(_ id: SlotID, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let connection = unsafe downstreams.pointer(id) else { return true }
        switch unsafe ProtocolSniffer.look(bytes) {
        case .undecided: return false
        case .http:
            // On a port for connections everything is one, whatever it looks like.
            if unsafe connection.pointee.awaits == .serverName {
                unsafe routeTCP(id, isTLS: false, serverName: UnsafeRawBufferPointer(start: nil, count: 0))
            } else {
                unsafe connection.pointee.awaits = .nothing
                setDeadline(ofDownstream: id, .idle, after: limits.idleTimeoutNanoseconds)
            }
        case .tls:
            guard case .hello(let name, _) = unsafe ClientHello.parse(bytes) else { return true }
            unsafe routeTCP(id, isTLS: true, serverName: UnsafeRawBufferPointer(rebasing: bytes[name]))
        case .other: unsafe routeTCP(id, isTLS: false, serverName: UnsafeRawBufferPointer(start: nil, count: 0))
        }
        return true
    }

    /// The client said nothing for a while: where the server speaks first, waiting longer would be for ever.
    mutating func detectionTimedOut(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), unsafe connection.pointee.awaits != .nothing else { return }
        unsafe routeTCP(id, isTLS: false, serverName: UnsafeRawBufferPointer(start: nil, count: 0))
        resumeLater(downstream: id)
    }

    private mutating func routeTCP(_ id: SlotID, isTLS: Bool, serverName: UnsafeRawBufferPointer) {
        guard let connection = unsafe downstreams.pointer(id) else { return }
        unsafe connection.pointee.awaits = .nothing
        let index = unsafe listeners[connection.pointee.listener].index
        guard index >= 0 else {
            closeDownstream(id)
            return
        }
        let dialled = unsafe connection.pointee.local
        switch unsafe tables.decideTCP(listener: index, dialled: dialled, isTLS: isTLS, serverName: serverName, draw: &routeDraw) {
        case .none: unsafe beginTCP(id, cluster: -1, route: .none, serverName: serverName)
        case .noCluster(let route): unsafe beginTCP(id, cluster: -1, route: route, serverName: serverName)
        case .cluster(let cluster, let route): unsafe beginTCP(id, cluster: Int32(clamping: cluster), route: route, serverName: serverName)
        }
    }
}
