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
        /// Nothing further is done with it: it is closed.
        case refused
    }

    /// A connection has been accepted, and where it goes is known. True = its first bytes are awaited.
    static func awaitsBytes(_ id: SlotID, _ sides: inout Sides) -> Bool {
        guard sides.downstreams.listeners[sides.downstreams.connections[id].listener].plan.side == .inbound,
            sides.epochs.all[sides.epochs.current].inbound.isThere
        else { return false }
        let index = sides.downstreams.listeners[sides.downstreams.connections[id].listener].index
        let port = sides.downstreams.connections[id].local.port
        // A listener that the configuration has no more is known by its port alone.
        let dialled = sides.downstreams.connections[id].isCaptured || index < 0 ? port : nil
        let security = unsafe sides.epochs.all[sides.epochs.current].tables.inboundSecurity(listener: max(0, index), dialledPort: dialled)
        guard security != .disabled else { return false }
        sides.downstreams.connections[id].awaits = security == .strict ? .mutualTLS : .security
        let patience = security == .strict ? sides.limits.handshakeNanoseconds : sides.limits.detectionNanoseconds
        sides.downstreams.setDeadline(id, .detection, after: patience, &sides.loop)
        return true
    }

    /// Looks at the first bytes of a connection that awaits them.
    static func look(_ id: SlotID, _ bytes: UnsafeRawBufferPointer, _ sides: inout Sides) -> Verdict {
        let isStrict = sides.downstreams.connections[id].awaits == .mutualTLS
        switch unsafe ClientHello.parse(bytes) {
        case .incomplete: return .undecided
        case .notTLS:
            guard isStrict else {
                unsafe notePlaintext(id, isHTTP: looksLikeHTTP(bytes), &sides)
                return .plain
            }
            unsafe ClientRefusing.refusePlaintext(id, isHTTP: looksLikeHTTP(bytes), &sides)
            return .refused
        case .hello(_, let offersIstio):
            guard isStrict || offersIstio else { return .plain }
            return begin(id, unsafe Array(bytes), &sides) ? .secured : .refused
        }
    }

    private static func looksLikeHTTP(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if case .http = unsafe ProtocolSniffer.look(bytes) { true } else { false }
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

    private static func begin(_ id: SlotID, _ early: [UInt8], _ sides: inout Sides) -> Bool {
        let inbound = sides.epochs.all[sides.epochs.current].inbound
        let descriptor = sides.downstreams.connections[id].stream.descriptor
        let seconds = Int64(clamping: sides.loop.unixNow / 1_000_000_000)
        guard descriptor >= 0, let context = inbound.context(),
            let session = TLSSession(context, descriptor: descriptor, early: early, now: seconds)
        else {
            sides.handle.note(problem: "TLS cannot begin: \(inbound.problem ?? "no memory")")
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
