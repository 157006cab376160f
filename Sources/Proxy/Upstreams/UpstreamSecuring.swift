internal import EventLoops
internal import Primitives
internal import Streams
internal import TelemetryModel
internal import TLS

/// TLS on a connection to an endpoint, between the end of connecting and the first byte.
enum UpstreamSecuring {
    /// What is to be done with a connection that has come about.
    enum Outcome {
        case plain
        /// Its handshake has begun.
        case begun
        case impossible
    }

    /// Begins TLS on a connection that has come about, where its endpoint wants that.
    static func begin(_ id: SlotID, _ upstreams: inout Upstreams, _ loop: inout WorkerLoop) -> Outcome {
        let slot = upstreams.pools[upstreams.connections[id].pool].settings.security
        guard slot != -1 else { return .plain }
        let endpoint = upstreams.pools[upstreams.connections[id].pool].endpoint
        // Where the version is not the endpoint's to choose: of an upgrade, a tunnel, an address that a client dialled.
        let isHTTP1 = upstreams.securities.choosesHTTP(Int(slot)) && !upstreams.connections[id].isNegotiating
        let descriptor = upstreams.connections[id].stream.descriptor
        let seconds = Int64(clamping: loop.unixNow / 1_000_000_000)
        // What precedes TLS (the PROXY protocol) is small: a new connection takes it at once.
        guard upstreams.connections[id].stream.flush() == .flushed, descriptor >= 0,
            let session = upstreams.securities.session(
                Int(slot), with: endpoint, descriptor: descriptor, unixSeconds: seconds, speaksHTTP1: isHTTP1)
        else {
            noteFailure(id, upstreams.securities.problem(Int(slot)), &upstreams, &loop)
            return .impossible
        }
        upstreams.connections[id].stream.secure(by: SecureLayer(session, descriptor: descriptor))
        upstreams.connections[id].state = .securing
        return .begun
    }

    /// Goes on with the handshake.
    static func shakeHands(_ id: SlotID, _ upstreams: inout Upstreams, _ loop: inout WorkerLoop) -> HandshakeProgress {
        let progress = upstreams.connections[id].stream.handshake()
        switch progress {
        case .waiting: break
        case .done where isRevoked(id, &upstreams):
            // The handshake had begun before the list was here.
            noteFailure(id, "the endpoint's certificate, or an authority above it, is revoked", &upstreams, &loop)
            return .failed
        case .done:
            loop.countEvent { $0.add($0.upstreamTLSHandshakes) }
            if upstreams.connections[id].stream.isResumed { loop.countEvent { $0.add($0.upstreamTLSResumptions) } }
        case .failed: noteFailure(id, upstreams.connections[id].stream.failure ?? "the connection ended", &upstreams, &loop)
        }
        return progress
    }

    /// Whether lists of a connection's kind of TLS have its endpoint's certificate, or an authority above it.
    static func isRevoked(_ id: SlotID, _ upstreams: inout Upstreams) -> Bool {
        let slot = Int(upstreams.pools[upstreams.connections[id].pool].settings.security)
        guard let lists = upstreams.securities.revocations(slot) else { return false }
        return upstreams.connections[id].stream.isRevoked(by: lists)
    }

    private static func noteFailure(_ id: SlotID, _ reason: String, _ upstreams: inout Upstreams, _ loop: inout WorkerLoop) {
        loop.countEvent { $0.add($0.upstreamTLSFailures) }
        upstreams.connections[id].describe(failure: reason)
        let endpoint = upstreams.pools[upstreams.connections[id].pool].endpoint
        upstreams.handle.note(problem: "TLS with endpoint \(endpoint): \(reason)")
    }
}
