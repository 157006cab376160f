internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Values of the fields that rules add, where they say something of the request or response.
enum HeaderValues {
    /// Makes the value of these pieces in `output`; nothing of what is not there, as Envoy does for headers. `response`: the head on its
    /// way to the client, where there is one. `isUpstreams`: it came from an endpoint.
    static func write(
        _ pieces: Range<Int>, _ request: inout Request, _ response: borrowing MessageHead, isUpstreams: Bool, _ epoch: inout Epoch,
        to output: inout ByteBuffer
    ) {
        output.clear(keeping: 4096)
        let tables = unsafe epoch.tables
        for index in pieces {
            let piece = unsafe tables.piece(index)
            switch piece.kind {
            case .responseField:
                guard isUpstreams else { continue }
                let found = unsafe response.value(named: tables.text(piece)) ?? response.value(named: tables.alternative(piece))
                unsafe append(found, piece.bytesMax, to: &output)
            case .responseCode: output.append(decimal: UInt64(request.log.record.responseCode))
            default: unsafe write(piece, &request, tables, to: &output)
            }
        }
    }

    /// As above, for a request on its way to its endpoint.
    static func write(_ pieces: Range<Int>, _ request: inout Request, _ epoch: inout Epoch, to output: inout ByteBuffer) {
        output.clear(keeping: 4096)
        for index in pieces {
            let piece = unsafe epoch.tables.piece(index)
            if piece.kind == .responseField || piece.kind == .responseCode { continue }
            unsafe write(piece, &request, epoch.tables, to: &output)
        }
    }

    private static func write(_ piece: HeaderValuePiece, _ request: inout Request, _ tables: RoutingTables, to output: inout ByteBuffer) {
        let origin = request.origin
        let start = request.log.record.startUnixNanoseconds
        switch piece.kind {
        case .text: unsafe output.append(tables.text(piece))
        case .requestField:
            let found = unsafe requestField(tables.text(piece), request.head) ?? requestField(tables.alternative(piece), request.head)
            unsafe append(found, piece.bytesMax, to: &output)
        case .responseField, .responseCode: break
        case .downstreamRemote: output.append(origin.remote, hasAddress: true, hasPort: true)
        case .downstreamRemoteAddress: output.append(origin.remote, hasAddress: true, hasPort: false)
        case .downstreamRemotePort: output.append(origin.remote, hasAddress: false, hasPort: true)
        case .downstreamLocal: output.append(origin.local, hasAddress: true, hasPort: true)
        case .downstreamLocalAddress: output.append(origin.local, hasAddress: true, hasPort: false)
        case .downstreamLocalPort: output.append(origin.local, hasAddress: false, hasPort: true)
        case .upstreamHost: output.append(request.log.record.upstreamRemote, hasAddress: true, hasPort: true)
        case .protocolName:
            switch request.log.record.protocolVersion {
            case .http10: output.append("HTTP/1.0")
            case .http2: output.append("HTTP/2")
            default: output.append("HTTP/1.1")
            }
        case .startSeconds: output.append(decimal: start / 1_000_000_000)
        case .startMilliseconds: output.append(start / 1_000_000 % 1000, digits: 3)
        case .startMicroseconds: output.append(start / 1000 % 1_000_000, digits: 6)
        case .startNanoseconds: output.append(start % 1_000_000_000, digits: 9)
        }
    }

    private static func append(_ value: UnsafeRawBufferPointer?, _ bytesMax: UInt32, to output: inout ByteBuffer) {
        guard let value = unsafe value else { return }
        let count = bytesMax == 0 ? value.count : min(value.count, Int(bytesMax))
        unsafe output.append(UnsafeRawBufferPointer(rebasing: value[..<count]))
    }

    /// A field of the request as it goes to the endpoint; pseudo-header names mean what they mean in HTTP/2.
    private static func requestField(_ name: UnsafeRawBufferPointer, _ head: borrowing MessageHead) -> UnsafeRawBufferPointer? {
        guard name.count > 0 else { return nil }
        if unsafe ASCII.equal(name, ":authority") || ASCII.equal(name, ignoringCase: "host") { return unsafe head.text(head.sentAuthority) }
        guard unsafe name[0] == UInt8(ascii: ":") else { return unsafe head.value(named: name) }
        if unsafe ASCII.equal(name, ":method") { return unsafe head.method }
        return unsafe ASCII.equal(name, ":path") ? head.text(head.sentTarget) : nil
    }
}
