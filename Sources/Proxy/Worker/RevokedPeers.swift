internal import Primitives
internal import Streams
internal import Synchronization
internal import TelemetryModel

/// Peers whose certificates were taken back while they were connected.
enum RevokedPeers {
    /// Ends their connections, on both sides; what they carry fails. Between two turns' events only.
    static func end(_ traffic: inout Traffic) {
        var ended: UInt64 = 0
        for id in traffic.sides.downstreams.connections.identifiers() where traffic.sides.downstreams.isOpen(id) {
            guard traffic.sides.isRevoked(downstream: id) else { continue }
            traffic.abandonDownstream(id)
            ended += 1
        }
        for id in traffic.sides.upstreams.connections.identifiers() where traffic.sides.upstreams.isOpen(id) {
            guard traffic.sides.isRevoked(upstream: id) else { continue }
            traffic.upstreamEnded(id, .terminated)
            ended += 1
        }
        guard ended > 0 else { return }
        traffic.flushStreams()
        let count = ended
        traffic.sides.loop.countEvent { $0.revokedEnded.wrappingAdd(count, ordering: .relaxed) }
        traffic.sides.handle.note(problem: "connections of peers whose certificates were revoked are ended: \(ended)")
    }
}
