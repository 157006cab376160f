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
        let tables = epoch.tables
        for index in pieces {
            let piece = tables.piece(index)
            switch piece.kind {
            case .responseField:
                guard isUpstreams else { continue }
                let found = response.bytes(named: tables.text(piece)) ?? response.bytes(named: tables.alternative(piece))
                append(found, piece.bytesMax, to: &output)
            case .responseCode: output.append(decimal: UInt64(request.log.record.responseCode))
            default: write(piece, &request, tables, to: &output)
            }
        }
    }

    /// As above, for a request on its way to its endpoint.
    static func write(_ pieces: Range<Int>, _ request: inout Request, _ epoch: inout Epoch, to output: inout ByteBuffer) {
        output.clear(keeping: 4096)
        for index in pieces {
            let piece = epoch.tables.piece(index)
            if piece.kind == .responseField || piece.kind == .responseCode { continue }
            write(piece, &request, epoch.tables, to: &output)
        }
    }

    private static func write(_ piece: HeaderValuePiece, _ request: inout Request, _ tables: RoutingTables, to output: inout ByteBuffer) {
        let origin = request.origin
        let start = request.log.record.startUnixNanoseconds
        switch piece.kind {
        case .text: output.append(tables.text(piece))
        case .requestField:
            let found = requestField(tables.text(piece), request.head) ?? requestField(tables.alternative(piece), request.head)
            append(found, piece.bytesMax, to: &output)
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

    private static func append(_ value: LentBytes?, _ bytesMax: UInt32, to output: inout ByteBuffer) {
        guard let value = value else { return }
        let count = bytesMax == 0 ? value.count : min(value.count, Int(bytesMax))
        output.append(value.prefix(count))
    }

    /// A field of the request as it goes to the endpoint; pseudo-header names mean what they mean in HTTP/2.
    private static func requestField(_ name: LentBytes, _ head: borrowing MessageHead) -> LentBytes? {
        guard name.count > 0 else { return nil }
        if name == ":authority" || name.equals(ignoringCase: "host") { return head.bytes(head.sentAuthority) }
        guard name[0] == UInt8(ascii: ":") else { return head.bytes(named: name) }
        if name == ":method" { return head.methodBytes }
        return name == ":path" ? head.bytes(head.sentTarget) : nil
    }
}
