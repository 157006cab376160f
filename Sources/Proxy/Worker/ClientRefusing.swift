internal import HTTP
internal import Primitives
internal import Routing
internal import Streams
internal import TelemetryModel
internal import TLS

/// The end of a connection that came to no request, for want of TLS or of a handshake's end: it is counted, said, and has a record, all but
/// the first as often as `RefusedConnections` lets them.
enum ClientRefusing {
    /// No TLS where nothing else is taken. `isHTTP`: what the client sent looks like it.
    static func refusePlaintext(_ id: SlotID, isHTTP: Bool, _ sides: inout Sides) {
        sides.loop.countEvent { $0.add($0.plaintextRefused) }
        let isInbound = sides.downstreams.listeners[sides.downstreams.connections[id].listener].plan.side == .inbound
        let isServer = sides.downstreams.connections[id].awaits == .serverTLS
        let server = isInbound ? "Sidecar" : "Gateway"
        let hint = isServer ? "a \(server) takes TLS alone here" : "PeerAuthentication STRICT takes mutual TLS alone"
        let failure = isHTTP ? TLSFailure.plaintextHTTP(hint) : TLSFailure.plaintext(hint)
        let remote = sides.downstreams.connections[id].remote.addressText
        let taken = isServer ? "TLS alone (\(server))" : "mutual TLS alone (PeerAuthentication STRICT)"
        let words = "\(remote) sent plaintext to \(sides.downstreams.connections[id].local), which takes \(taken)"
        refuse(id, failure, words, hint, isPlaintext: true, &sides)
    }

    /// A handshake that failed, or did not come to its end in time.
    static func refuseHandshake(_ id: SlotID, _ reason: String, _ sides: inout Sides) {
        sides.loop.countEvent { $0.add($0.tlsHandshakeFailures) }
        let remote = sides.downstreams.connections[id].remote.addressText
        let words = "TLS of \(remote) with \(sides.downstreams.connections[id].local): \(reason)"
        let failure = sides.downstreams.connections[id].stream.failureCode
        refuse(id, failure, words, reason, isPlaintext: false, &sides)
    }

    private static func refuse(
        _ id: SlotID, _ failure: TLSFailure?, _ words: String, _ reason: String, isPlaintext: Bool, _ sides: inout Sides
    ) {
        guard let leftOut = sides.refusals.admit(sides.loop.now) else {
            return sides.loop.countEvent { $0.add($0.refusalsUnlogged) }
        }
        let more = leftOut > 0 ? "; \(leftOut) more before it, which no line tells of" : ""
        sides.handle.note(problem: words + more)
        let epoch = sides.epochs.current
        guard sides.epochs.all[epoch].plan.side(.inbound).isRecorded else { return }
        sides.downstreams.connections[id].describe(failure, reason)
        let origin = sides.makeOrigin(id, 0)
        let fields = sides.epochs.all[epoch].plan.requestHeaders.count + sides.epochs.all[epoch].plan.responseHeaders.count
        let recorder = sides.recorder
        let unixNow = sides.loop.unixNow
        sides.refusals.hand(
            origin, &sides.downstreams.connections[id].secured.texts, isPlaintext: isPlaintext, unixNanoseconds: unixNow,
            capturedFields: fields, to: recorder)
    }
}
