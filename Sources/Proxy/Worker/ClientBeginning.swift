internal import HTTP
internal import Primitives
internal import Streams

/// The beginning of a client's connection: what it is secured with, then what it is, until its bytes are somebody's. What a connection
/// turns out to be passed on as a tunnel is opened as one.
enum ClientBeginning {
    /// A connection has been accepted.
    static func beginAccepted(_ id: SlotID, _ sides: inout Sides, _ tunnels: inout TunnelTraffic) {
        if ClientClassifying.classify(id, &sides) { openTunnel(id, &sides, &tunnels) }
    }

    /// What the connection is, now that its security is known.
    private static func classify(_ id: SlotID, _ sides: inout Sides, _ tunnels: inout TunnelTraffic) {
        if ClientClassifying.classifySettled(id, &sides) { openTunnel(id, &sides, &tunnels) }
    }

    private static func openTunnel(_ id: SlotID, _ sides: inout Sides, _ tunnels: inout TunnelTraffic) {
        tunnels.openTunnel(id, isTLS: false, serverName: LentBytes(), &sides)
    }

    /// Looks at the first bytes of a connection that awaits them. Returns how many were taken; nil = more must arrive.
    static func take(_ id: SlotID, _ bytes: LentBytes, _ sides: inout Sides, _ tunnels: inout TunnelTraffic) -> Int? {
        switch sides.downstreams.connections[id].awaits {
        case .nothing: return 0
        case .handshake: return bytes.count
        case .security, .mutualTLS, .serverTLS: return settleSecurity(id, bytes, &sides, &tunnels)
        case .protocolDetection, .serverName: return detectProtocol(id, bytes, &sides, &tunnels)
        }
    }

    private static func detectProtocol(
        _ id: SlotID, _ bytes: LentBytes, _ sides: inout Sides, _ tunnels: inout TunnelTraffic
    ) -> Int? {
        switch ClientClassifying.detect(id, bytes, &sides) {
        case .undecided: return nil
        case .http: return 0
        case .tunnel(let isTLS, let name):
            openTunnel(id, isTLS: isTLS, name, &sides, &tunnels)
            return 0
        case .refused:
            sides.downstreams.close(id, &sides.loop)
            return bytes.count
        }
    }

    private static func openTunnel(
        _ id: SlotID, isTLS: Bool, _ serverName: [UInt8], _ sides: inout Sides, _ tunnels: inout TunnelTraffic
    ) {
        unsafe serverName.withUnsafeBytes { name in
            tunnels.openTunnel(id, isTLS: isTLS, serverName: unsafe LentBytes(name), &sides)
        }
    }

    private static func settleSecurity(
        _ id: SlotID, _ bytes: LentBytes, _ sides: inout Sides, _ tunnels: inout TunnelTraffic
    ) -> Int? {
        switch ClientSecuring.look(id, bytes, &sides) {
        case .undecided: return nil
        case .refused:
            sides.downstreams.close(id, &sides.loop)
            return bytes.count
        case .secured:
            // The session has been given them all.
            continueHandshake(id, &sides, &tunnels)
            return bytes.count
        case .passedThrough(let name):
            openTunnel(id, isTLS: true, name, &sides, &tunnels)
            return 0
        case .plain:
            settle(id, &sides, &tunnels)
            return 0
        }
    }

    private static func settle(_ id: SlotID, _ sides: inout Sides, _ tunnels: inout TunnelTraffic) {
        sides.downstreams.connections[id].awaits = .nothing
        sides.downstreams.setDeadline(id, .idle, after: sides.limits.idleTimeoutNanoseconds, &sides.loop)
        classify(id, &sides, &tunnels)
    }

    /// Goes on with TLS' handshake; what follows it is read by whoever called.
    static func continueHandshake(_ id: SlotID, _ sides: inout Sides, _ tunnels: inout TunnelTraffic) {
        guard ClientSecuring.shakeHands(id, &sides) else { return sides.downstreams.close(id, &sides.loop) }
        if sides.downstreams.connections[id].awaits == .nothing { classify(id, &sides, &tunnels) }
    }

    /// Too little has come for too long.
    static func endPatience(_ id: SlotID, _ sides: inout Sides, _ tunnels: inout TunnelTraffic) {
        switch sides.downstreams.connections[id].awaits {
        case .nothing: return
        case .mutualTLS, .serverTLS, .handshake:
            ClientRefusing.refuseHandshake(id, "no handshake within \(sides.limits.handshakeNanoseconds / 1_000_000_000) s", &sides)
            sides.downstreams.close(id, &sides.loop)
        case .security:
            // The client waits for the server's first word, as no TLS does.
            ClientSecuring.notePlaintext(id, isHTTP: false, &sides)
            settle(id, &sides, &tunnels)
        case .protocolDetection, .serverName:
            // Where the server speaks first, waiting longer would be for ever.
            openTunnel(id, &sides, &tunnels)
            sides.downstreams.resumeLater(id)
        }
    }
}
