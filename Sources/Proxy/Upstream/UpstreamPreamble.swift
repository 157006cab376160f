internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// What a connection to an endpoint begins with besides requests: who the client is (PROXY protocol), or where an HTTP proxy shall connect to (CONNECT).
extension ProxyWorker {
    /// Writes the client's address for the endpoint, ahead of everything else (haproxy.org/download/2.9/doc/proxy-protocol.txt, 2.1 and 2.2).
    mutating func announceClient(_ exchange: UnsafeMutablePointer<Exchange>, to upstreamID: SlotID, version: UInt8) {
        guard let upstream = unsafe upstreams.pointer(upstreamID) else { return }
        let source = unsafe exchange.pointee.record.downstreamRemote
        let target = unsafe exchange.pointee.record.downstreamLocal
        let isKnown = source.family == target.family && (source.family == .ipv4 || source.family == .ipv6)
        if version == 1 {
            unsafe Self.appendProxyLine(isKnown, source, target, to: &upstream.pointee.output)
        } else {
            unsafe Self.appendProxyHeader(isKnown, source, target, to: &upstream.pointee.output)
        }
    }

    static func appendProxyLine(_ isKnown: Bool, _ source: SocketEndpoint, _ target: SocketEndpoint, to output: inout ByteBuffer) {
        guard isKnown else {
            output.append("PROXY UNKNOWN\r\n")
            return
        }
        output.append(source.family == .ipv4 ? "PROXY TCP4 " : "PROXY TCP6 ")
        appendAddress(source, to: &output)
        output.append(" ")
        appendAddress(target, to: &output)
        output.append(" ")
        output.append(decimal: UInt64(source.port))
        output.append(" ")
        output.append(decimal: UInt64(target.port))
        output.append("\r\n")
    }

    static func appendProxyHeader(_ isKnown: Bool, _ source: SocketEndpoint, _ target: SocketEndpoint, to output: inout ByteBuffer) {
        func append(_ value: UInt64, bytes: Int) {
            for place in stride(from: bytes - 1, through: 0, by: -1) { output.append(byte: UInt8(truncatingIfNeeded: value >> UInt64(8 * place))) }
        }
        append(0x0D0A_0D0A_000D_0A51, bytes: 8)
        append(0x5549_540A, bytes: 4)
        // Version 2, PROXY; or LOCAL, whose addresses are to be ignored.
        append(isKnown ? 0x21 : 0x20, bytes: 1)
        guard isKnown else {
            append(0, bytes: 3)
            return
        }
        let isFour = source.family == .ipv4
        append(isFour ? 0x11 : 0x21, bytes: 1)
        append(isFour ? 12 : 36, bytes: 2)
        for address in [source, target] {
            if isFour {
                append(address.low, bytes: 4)
            } else {
                append(address.high, bytes: 8)
                append(address.low, bytes: 8)
            }
        }
        append(UInt64(source.port), bytes: 2)
        append(UInt64(target.port), bytes: 2)
    }

    /// Makes the head that asks an endpoint to connect further (RFC 9110 9.3.6); bytes wait until it says yes.
    mutating func askForTunnel(_ exchange: UnsafeMutablePointer<Exchange>, to target: UnsafeRawBufferPointer) {
        unsafe exchange.pointee.flags.insert(.awaitsTunnel)
        unsafe exchange.pointee.requestHead.append("CONNECT ")
        unsafe exchange.pointee.requestHead.append(target)
        unsafe exchange.pointee.requestHead.append(" HTTP/1.1\r\nHost: ")
        unsafe exchange.pointee.requestHead.append(target)
        unsafe exchange.pointee.requestHead.append("\r\n\r\n")
    }

    /// Reads the endpoint's answer to CONNECT. Returns how many bytes of it were consumed; nil = it refused, and the attempt is over.
    mutating func takeTunnelAnswer(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ upstreamID: SlotID, _ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let upstream = unsafe upstreams.pointer(upstreamID) else { return nil }
        switch unsafe HeadParser.parseResponse(bytes, scan: &upstream.pointee.scan, limits: limits.http, into: &head) {
        case .incomplete: return 0
        case .failed: break
        case .complete:
            unsafe upstream.pointee.scan = HeadScan()
            // 1xx is not yet an answer; a 2xx has no body, whatever its fields say (RFC 9110 9.3.6).
            if head.statusCode < 200 { return head.byteCount }
            guard head.statusCode < 300 else { break }
            unsafe exchange.pointee.flags.remove(.awaitsTunnel)
            setDeadline(ofUpstream: upstreamID, after: .max)
            unsafe resumeLater(downstream: exchange.pointee.downstream)
            return head.byteCount
        }
        attemptFailed(id, .connectFailure(code: 0))
        return nil
    }
}
