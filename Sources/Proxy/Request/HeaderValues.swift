internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Values of the fields that rules add, where they say something of the request or response.
extension ProxyWorker {
    /// Makes the value of these pieces in `valueScratch`; nothing of what is not there, as Envoy does for headers.
    mutating func makeValue(_ pieces: Range<Int>, _ exchange: UnsafeMutablePointer<Exchange>, isResponse: Bool) {
        var output = ByteBuffer()
        swap(&output, &valueScratch)
        output.clear(keeping: 4096)
        unsafe write(pieces, exchange, isResponse: isResponse, to: &output)
        swap(&output, &valueScratch)
    }

    private mutating func write(_ pieces: Range<Int>, _ exchange: UnsafeMutablePointer<Exchange>, isResponse: Bool, to output: inout ByteBuffer) {
        let tables = unsafe tables(exchange)
        // `head` is the upstream's response, unless the answer is our own.
        let hasResponseHead = unsafe isResponse && exchange.pointee.record.times.upstreamReceiveBegin != RequestTimes.absent
        for index in pieces {
            let piece = unsafe tables.piece(index)
            switch piece.kind {
            case .text: unsafe output.append(tables.text(piece))
            case .requestField:
                unsafe append(Self.field(tables.text(piece), exchange) ?? Self.field(tables.alternative(piece), exchange), piece.bytesMax, to: &output)
            case .responseField:
                guard hasResponseHead else { continue }
                unsafe append(head.value(named: tables.text(piece)) ?? head.value(named: tables.alternative(piece)), piece.bytesMax, to: &output)
            case .downstreamRemote: unsafe Self.append(exchange.pointee.record.downstreamRemote, hasAddress: true, hasPort: true, to: &output)
            case .downstreamRemoteAddress: unsafe Self.append(exchange.pointee.record.downstreamRemote, hasAddress: true, hasPort: false, to: &output)
            case .downstreamRemotePort: unsafe Self.append(exchange.pointee.record.downstreamRemote, hasAddress: false, hasPort: true, to: &output)
            case .downstreamLocal: unsafe Self.append(exchange.pointee.record.downstreamLocal, hasAddress: true, hasPort: true, to: &output)
            case .downstreamLocalAddress: unsafe Self.append(exchange.pointee.record.downstreamLocal, hasAddress: true, hasPort: false, to: &output)
            case .downstreamLocalPort: unsafe Self.append(exchange.pointee.record.downstreamLocal, hasAddress: false, hasPort: true, to: &output)
            case .upstreamHost: unsafe Self.append(exchange.pointee.record.upstreamRemote, hasAddress: true, hasPort: true, to: &output)
            case .protocolName:
                switch unsafe exchange.pointee.record.protocolVersion {
                case .http10: output.append("HTTP/1.0")
                case .http2: output.append("HTTP/2")
                default: output.append("HTTP/1.1")
                }
            case .responseCode: if isResponse { unsafe output.append(decimal: UInt64(exchange.pointee.record.responseCode)) }
            case .startSeconds: unsafe output.append(decimal: exchange.pointee.record.startUnixNanoseconds / 1_000_000_000)
            case .startMilliseconds: unsafe Self.append(fraction: exchange.pointee.record.startUnixNanoseconds / 1_000_000 % 1000, digits: 3, to: &output)
            case .startMicroseconds: unsafe Self.append(fraction: exchange.pointee.record.startUnixNanoseconds / 1000 % 1_000_000, digits: 6, to: &output)
            case .startNanoseconds: unsafe Self.append(fraction: exchange.pointee.record.startUnixNanoseconds % 1_000_000_000, digits: 9, to: &output)
            }
        }
    }

    private mutating func append(_ value: UnsafeRawBufferPointer?, _ bytesMax: UInt32, to output: inout ByteBuffer) {
        guard let value = unsafe value else { return }
        let count = bytesMax == 0 ? value.count : min(value.count, Int(bytesMax))
        unsafe output.append(UnsafeRawBufferPointer(rebasing: value[..<count]))
    }

    private static func append(_ endpoint: SocketEndpoint, hasAddress: Bool, hasPort: Bool, to output: inout ByteBuffer) {
        guard endpoint.family != .absent else { return }
        if endpoint.family == .unix {
            // A path has no port.
            if hasAddress { appendAddress(endpoint, to: &output) }
            return
        }
        if hasAddress {
            let isBracketed = hasPort && endpoint.family == .ipv6
            if isBracketed { output.append("[") }
            appendAddress(endpoint, to: &output)
            if isBracketed { output.append("]") }
            if hasPort { output.append(":") }
        }
        if hasPort { output.append(decimal: UInt64(endpoint.port)) }
    }

    private static func append(fraction: UInt64, digits: Int, to output: inout ByteBuffer) {
        var unit: UInt64 = 1
        for _ in 1..<digits { unit *= 10 }
        while unit > 0 {
            output.append(byte: 48 + UInt8(truncatingIfNeeded: fraction / unit % 10))
            unit /= 10
        }
    }

    /// A field of the request as it goes to the upstream; pseudo-header names mean what they mean in HTTP/2.
    private static func field(_ name: UnsafeRawBufferPointer, _ exchange: UnsafeMutablePointer<Exchange>) -> UnsafeRawBufferPointer? {
        let text = unsafe exchange.pointee.requestHead.readable
        guard name.count > 0, let lineEnd = unsafe text.firstIndex(of: 13) else { return nil }
        if unsafe name[0] == UInt8(ascii: ":") {
            if unsafe ASCII.equal(name, ":authority") { return unsafe FieldLines.value(of: "host", in: text, from: lineEnd + 2) }
            guard let methodEnd = unsafe text[..<lineEnd].firstIndex(of: 32) else { return nil }
            if unsafe ASCII.equal(name, ":method") { return unsafe UnsafeRawBufferPointer(rebasing: text[..<methodEnd]) }
            // The version behind it is ours: ` HTTP/1.1`.
            guard unsafe ASCII.equal(name, ":path"), lineEnd - 9 > methodEnd else { return nil }
            return unsafe UnsafeRawBufferPointer(rebasing: text[(methodEnd + 1)..<(lineEnd - 9)])
        }
        return unsafe FieldLines.value(of: name, in: text, from: lineEnd + 2)
    }
}
