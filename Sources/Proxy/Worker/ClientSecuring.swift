internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import Streams
internal import TLS
internal import TelemetryModel

/// What a client's connection is secured with: by the policy of the port that it dialled, and by its first bytes (semantics 2.7).
enum ClientSecuring {
    enum Verdict {
        /// More must arrive.
        case undecided
        /// No TLS of the mesh, which is allowed here.
        case plain
        /// All bytes are the handshake's.
        case secured
        /// Passed on as it is, by the name that the client asked for.
        case passedThrough(serverName: [UInt8])
        /// Nothing further is done with it: it is closed.
        case refused
    }

    /// A connection has been accepted, and where it goes is known. True = its first bytes are awaited.
    static func awaitsBytes(_ id: SlotID, _ sides: inout Sides) -> Bool {
        let index = sides.downstreams.listeners[sides.downstreams.connections[id].listener].index
        if index >= 0, sides.epochs.all[sides.epochs.current].choosesByServerName(listener: index) {
            expectBytes(.serverTLS, id, &sides)
            return true
        }
        guard sides.downstreams.listeners[sides.downstreams.connections[id].listener].plan.side == .inbound,
            sides.epochs.all[sides.epochs.current].inbound.isThere
        else { return false }
        let port = sides.downstreams.connections[id].local.port
        // A listener that the configuration has no more is known by its port alone.
        let dialled = sides.downstreams.connections[id].isCaptured || index < 0 ? port : nil
        let security = sides.epochs.all[sides.epochs.current].tables.inboundSecurity(listener: max(0, index), dialledPort: dialled)
        guard security != .disabled else { return false }
        expectBytes(security == .strict ? .mutualTLS : .security, id, &sides)
        return true
    }

    private static func expectBytes(_ awaited: DownstreamConnection.Awaited, _ id: SlotID, _ sides: inout Sides) {
        sides.downstreams.connections[id].awaits = awaited
        let patience = awaited == .security ? sides.limits.detectionNanoseconds : sides.limits.handshakeNanoseconds
        sides.downstreams.setDeadline(id, .detection, after: patience, &sides.loop)
    }

    /// Looks at the first bytes of a connection that awaits them.
    static func look(_ id: SlotID, _ bytes: LentBytes, _ sides: inout Sides) -> Verdict {
        let awaited = sides.downstreams.connections[id].awaits
        switch ClientHello.parse(bytes) {
        case .incomplete: return .undecided
        case .notTLS:
            guard awaited != .security else {
                notePlaintext(id, isHTTP: looksLikeHTTP(bytes), &sides)
                return .plain
            }
            ClientRefusing.refusePlaintext(id, isHTTP: looksLikeHTTP(bytes), &sides)
            return .refused
        case .refused(let refusal):
            ClientRefusing.refuseHandshake(id, "\(refusal)", &sides)
            return .refused
        case .hello(let name, let offersIstio):
            guard awaited != .security || offersIstio else { return .plain }
            let early = unsafe Array(bytes.buffer)
            if awaited == .serverTLS { return chooseServer(id, early, name[...], &sides) }
            return begin(id, sides.epochs.all[sides.epochs.current].inbound, early, &sides) ? .secured : .refused
        }
    }

    private static func looksLikeHTTP(_ bytes: LentBytes) -> Bool {
        if case .http = ProtocolSniffer.look(bytes) { true } else { false }
    }

    /// Counts a connection without TLS to a port that takes both; TLS of the application's own is none.
    static func notePlaintext(_ id: SlotID, isHTTP: Bool, _ sides: inout Sides) {
        let origin = sides.makeOrigin(id, 0)
        var source = origin.remote
        source.port = 0
        let key = PlaintextClients.Key(
            source: source, destination: origin.labels.destination, port: origin.local.port, isHTTP: isHTTP)
        sides.handle.plaintext.note(key, unixSeconds: sides.loop.unixNow / 1_000_000_000)
    }

    /// Whom a connection to a port of a Gateway is for. `bytes`: its first; `name`: of the server that it asks for, empty = none.
    private static func chooseServer(
        _ id: SlotID, _ bytes: [UInt8], _ name: ArraySlice<UInt8>, _ sides: inout Sides
    ) -> Verdict {
        let index = sides.downstreams.listeners[sides.downstreams.connections[id].listener].index
        // Without the port, or without server names at it, the configuration has changed meanwhile.
        guard index >= 0, sides.epochs.all[sides.epochs.current].choosesByServerName(listener: index) else { return .refused }
        switch sides.epochs.all[sides.epochs.current].gatewayServer(listener: index, name: name) {
        case .passThrough: return .passedThrough(serverName: Array(name))
        case .none:
            sides.loop.countEvent { $0.add($0.serverNamesUnknown) }
            let remote = sides.downstreams.connections[id].remote.addressText
            let asked = name.isEmpty ? "no server name" : "the server name \(Self.printable(name))"
            let local = sides.downstreams.connections[id].local
            sides.handle.note(problem: "TLS of \(remote) with \(local): \(asked) is none of a Gateway's server there")
            alert(.unrecognizedName, id, &sides)
            return .passedThrough(serverName: Array(name))
        case .server(let server):
            sides.downstreams.connections[id].secured.server = server
            sides.downstreams.connections[id].secured.serverEpoch = sides.epochs.current
            let contexts = sides.epochs.all[sides.epochs.current].gateways
            let place = Int(server.security)
            let context = contexts.indices.contains(place) ? contexts[place] : InboundContext(nil)
            if begin(id, context, bytes, &sides) { return .secured }
            alert(.internalError, id, &sides)
            return .refused
        }
    }

    /// Alerts of RFC 8446 6, sent before a handshake has begun.
    private enum Alert: UInt8 {
        case internalError = 80
        case unrecognizedName = 112
    }

    private static func alert(_ alert: Alert, _ id: SlotID, _ sides: inout Sides) {
        // A record of type alert with the version that all know, its length, and "fatal".
        for byte in [0x15, 3, 3, 0, 2, 2, alert.rawValue] { sides.downstreams.connections[id].stream.output.append(byte: byte) }
        _ = sides.downstreams.connections[id].stream.flush()
    }

    /// Bytes from the wire as people may see them.
    private static func printable(_ bytes: ArraySlice<UInt8>) -> String {
        let shown = bytes.prefix(64).map { (0x21...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }
        return String(decoding: shown, as: UTF8.self)
    }

    private static func begin(_ id: SlotID, _ inbound: InboundContext, _ early: [UInt8], _ sides: inout Sides) -> Bool {
        let descriptor = sides.downstreams.connections[id].stream.descriptor
        let seconds = Int64(clamping: sides.loop.unixNow / 1_000_000_000)
        guard descriptor >= 0, let context = inbound.context(),
            let session = TLSSession(context, descriptor: descriptor, early: early, expecting: inbound.expectation, now: seconds)
        else {
            let problem = inbound.problem ?? (inbound.isThere ? "no memory" : "no certificate")
            ClientRefusing.refuseHandshake(id, "it cannot begin: \(problem)", &sides)
            return false
        }
        sides.downstreams.connections[id].stream.secure(by: SecureLayer(session, descriptor: descriptor))
        sides.downstreams.connections[id].awaits = .handshake
        sides.downstreams.setDeadline(id, .detection, after: sides.limits.handshakeNanoseconds, &sides.loop)
        return true
    }

    /// Goes on with a handshake. False = the connection is to be closed.
    static func shakeHands(_ id: SlotID, _ sides: inout Sides) -> Bool {
        switch sides.downstreams.connections[id].stream.handshake() {
        case .waiting: return true
        case .done:
            // The handshake may have begun, or its session, before the list was here.
            let certificate = sides.downstreams.connections[id].stream.peerCertificate
            guard !sides.isRevoked(downstream: id) else {
                let serial = certificate?.serial ?? ""
                ClientRefusing.refuseHandshake(id, "certificate revoked: serial \(serial), or an authority above it", &sides)
                return false
            }
            sides.loop.countEvent { $0.add($0.tlsHandshakes) }
            if sides.downstreams.connections[id].stream.isResumed { sides.loop.countEvent { $0.add($0.tlsResumptions) } }
            sides.downstreams.connections[id].awaits = .nothing
            sides.downstreams.setDeadline(id, .idle, after: sides.limits.idleTimeoutNanoseconds, &sides.loop)
            sides.downstreams.settleSource(id)
            return true
        case .failed:
            ClientRefusing.refuseHandshake(id, sides.downstreams.connections[id].stream.failure ?? "the connection ended", &sides)
            return false
        }
    }
}
