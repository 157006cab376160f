internal import Primitives

/// The PROXY protocol: the client's address, told to an endpoint ahead of everything else (haproxy.org/download/2.9/doc/proxy-protocol.txt,
/// 2.1 and 2.2).
enum ProxyProtocol {
    /// `version`: 1 or 2.
    static func announce(_ source: SocketEndpoint, _ target: SocketEndpoint, version: UInt8, to output: inout ByteBuffer) {
        let isKnown = source.family == target.family && (source.family == .ipv4 || source.family == .ipv6)
        if version == 1 {
            appendLine(isKnown, source, target, to: &output)
        } else {
            appendHeader(isKnown, source, target, to: &output)
        }
    }

    static func appendLine(_ isKnown: Bool, _ source: SocketEndpoint, _ target: SocketEndpoint, to output: inout ByteBuffer) {
        guard isKnown else {
            output.append("PROXY UNKNOWN\r\n")
            return
        }
        output.append(source.family == .ipv4 ? "PROXY TCP4 " : "PROXY TCP6 ")
        output.append(address: source)
        output.append(" ")
        output.append(address: target)
        output.append(" ")
        output.append(decimal: UInt64(source.port))
        output.append(" ")
        output.append(decimal: UInt64(target.port))
        output.append("\r\n")
    }

    static func appendHeader(_ isKnown: Bool, _ source: SocketEndpoint, _ target: SocketEndpoint, to output: inout ByteBuffer) {
        func append(_ value: UInt64, bytes: Int) {
            for place in stride(from: bytes - 1, through: 0, by: -1) {
                output.append(byte: UInt8(truncatingIfNeeded: value >> UInt64(8 * place)))
            }
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
}
