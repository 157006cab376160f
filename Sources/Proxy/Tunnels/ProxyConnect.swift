internal import HTTP
internal import Primitives

/// How an endpoint, an HTTP proxy, is asked to connect further (RFC 9110 9.3.6).
enum ProxyConnect {
    enum Answer {
        case incomplete
        /// 1xx is not yet an answer; so many bytes of it.
        case interim(Int)
        /// A 2xx has no body, whatever its fields say: the tunnel begins behind so many bytes.
        case connected(Int)
        case refused
    }

    static func ask(for target: LentBytes, _ output: inout ByteBuffer) {
        output.append("CONNECT ")
        output.append(target)
        output.append(" HTTP/1.1\r\nHost: ")
        output.append(target)
        output.append("\r\n\r\n")
    }

    static func read(_ bytes: LentBytes, _ scan: inout HeadScan, _ limits: HTTPLimits, _ head: inout MessageHead) -> Answer {
        switch unsafe HeadParser.parseResponse(bytes.buffer, scan: &scan, limits: limits, into: &head) {
        case .incomplete: return .incomplete
        case .failed: return .refused
        case .complete:
            scan = HeadScan()
            if head.statusCode >= 300 { return .refused }
            return head.statusCode >= 200 ? .connected(head.byteCount) : .interim(head.byteCount)
        }
    }
}
