internal import EventLoops
internal import HTTP
internal import Primitives
internal import TelemetryModel

/// Upgraded connections (RFC 9110 7.8, WebSocket): after 101 the bytes pass untouched, each direction ending on its own.
extension ProxyWorker {
    /// The known protocols that the `Upgrade` fields of `head` list; `others` is set when there are unknown ones.
    mutating func upgradeChoice(_ others: inout Bool) -> UpgradeProtocols.Choice {
        var choice: UpgradeProtocols.Choice = 0
        for index in 0..<head.fieldCount where unsafe head.field(index).name == .upgrade {
            unsafe choice |= limits.upgrades.choice(in: head.value(at: index), others: &others)
        }
        return choice
    }

    /// Whether the 101 in `head` switches to what was asked for (RFC 9110 7.8), and not before the request was whole: what is left of its body would
    /// be taken for the new protocol's.
    mutating func switchesAsAsked(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        guard unsafe exchange.pointee.flags.isSuperset(of: [.wantsUpgrade, .requestComplete]), head.connection.contains(.upgrade) else { return false }
        var others = false
        let choice = upgradeChoice(&others)
        return unsafe choice != 0 && !others && choice & ~exchange.pointee.upgrades == 0
    }

    /// Passes the 101 in `head` on and opens the tunnel. What follows it is taken by the caller.
    mutating func beginTunnel(_ exchange: UnsafeMutablePointer<Exchange>) {
        unsafe exchange.pointee.flags.formUnion([.isTunnel, .responseStarted])
        unsafe exchange.pointee.record.responseCode = 101
        unsafe exchange.pointee.record.details = .viaUpstream
        assembly.append("HTTP/1.1 101 Switching Protocols\r\n")
        let fieldsStart = assembly.count
        for index in 0..<head.fieldCount {
            let name = unsafe head.field(index).name
            if name == .contentLength || name == .transferEncoding || (name.isHopByHop && name != .upgrade) { continue }
            if name == .other, head.connection.contains(.namesOthers), unsafe isNamedByConnection(head.name(at: index)) { continue }
            Self.appendField(head, index, to: &assembly)
        }
        unsafe finishFields(exchange, from: fieldsStart)
        assembly.append("Connection: Upgrade\r\n\r\n")
        unsafe exchange.pointee.record.responseHeaderBytes = UInt32(clamping: assembly.count)
        unsafe exchange.pointee.record.times.downstreamSendBegin = now.nanoseconds(since: exchange.pointee.start)
        unsafe captureResponseHeaders(exchange)
        unsafe resumeLater(downstream: exchange.pointee.downstream)
    }

    /// One side sends no more: the other is told once it has everything, and the tunnel ends with the second end.
    mutating func tunnelEnded(fromDownstream: Bool, _ exchange: UnsafeMutablePointer<Exchange>) {
        unsafe exchange.pointee.flags.insert(fromDownstream ? .downstreamEnded : .upstreamEnded)
        if unsafe exchange.pointee.flags.isSuperset(of: [.downstreamEnded, .upstreamEnded]) {
            // What the endpoint has not taken yet is still for it; `flushUpstream` ends the tunnel then.
            if let upstream = unsafe upstreams.pointer(exchange.pointee.upstream), unsafe upstream.pointee.state == .active && !upstream.pointee.isFlushed { return }
            unsafe closeTunnel(exchange)
            return
        }
        if fromDownstream {
            if let upstream = unsafe upstreams.pointer(exchange.pointee.upstream), unsafe upstream.pointee.isFlushed {
                unsafe Socket.shutdownWrite(upstream.pointee.fd)
            }
        } else if let connection = unsafe downstreams.pointer(exchange.pointee.downstream) {
            // Otherwise `flushDownstream` does it once everything is out.
            if unsafe connection.pointee.isFlushed { unsafe Socket.shutdownWrite(connection.pointee.fd) }
        }
    }

    mutating func closeTunnel(_ exchange: UnsafeMutablePointer<Exchange>) {
        let downstreamID = unsafe exchange.pointee.downstream
        unsafe abandonUpstream(exchange.pointee.upstream)
        unsafe exchange.pointee.upstream = .none
        guard let connection = unsafe downstreams.pointer(downstreamID) else { return }
        let id = unsafe connection.pointee.exchange
        finish(id)
        if unsafe connection.pointee.isFlushed {
            closeDownstream(downstreamID)
        } else {
            unsafe connection.pointee.closesAfterFlush = true
        }
    }
}
