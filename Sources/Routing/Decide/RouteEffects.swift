internal import HTTP
public import Primitives

/// The effects of a route's actions on bytes. Pure; everything is written into the caller's buffers.
extension RoutingTables {
    /// Whether a policy names the status itself.
    public func isRetriable(_ policy: RetryPolicy, status: UInt16) -> Bool {
        let view = self.view
        return policy.statusCodes.indices.contains { view.rows.statusCodes[$0] == status }
    }

    /// Appends the path that the upstream gets; `path` is without its query, `match` that of the decision.
    public func rewrite(_ entry: RewriteEntry, match: Int32, path: LentBytes, into out: inout ByteBuffer) {
        view.rewrite(entry, match, path, &out)
    }

    /// The authority that the upstream gets instead; nil = the client's.
    public func rewrittenAuthority(_ entry: RewriteEntry) -> LentBytes? {
        entry.hasAuthority ? view.bytes(entry.authority) : nil
    }

    /// Appends the value of `Location`. `requestPort`: what a captured client dialled, else 0, and what it names counts.
    public func location(
        _ entry: RedirectEntry, match: Int32, _ request: borrowing RouteRequest, requestPort: UInt16, into out: inout ByteBuffer
    ) {
        view.writeLocation(entry, request.parts, requestPort, &out)
    }

    public func directBody(_ entry: DirectResponseEntry) -> LentBytes { view.bytes(entry.body) }
}

extension TableView {
    func writeLocation(_ entry: RedirectEntry, _ request: RequestParts, _ requestPort: UInt16, _ out: inout ByteBuffer) {
        let isHTTPS = entry.scheme.isEmpty ? request.isHTTPS : bytes(entry.scheme) == "https"
        out.append(entry.scheme.isEmpty ? request.scheme : bytes(entry.scheme))
        out.append("://")
        out.append(entry.authority.isEmpty ? request.hostName : bytes(entry.authority))
        let port = locationPort(entry, request, requestPort, isHTTPS)
        if port != 0, port != (isHTTPS ? 443 : 80) {
            out.append(byte: UInt8(ascii: ":"))
            out.append(decimal: UInt64(port))
        }
        guard !entry.uri.isEmpty else {
            out.append(request.path)
            out.append(request.query)
            return
        }
        let uri = bytes(entry.uri)
        out.append(uri)
        // A target with a query of its own is complete.
        if uri.index(of: UInt8(ascii: "?"), from: 0) == uri.count { out.append(request.query) }
    }

    /// 0 = none is written.
    private func locationPort(_ entry: RedirectEntry, _ request: RequestParts, _ requestPort: UInt16, _ isHTTPS: Bool) -> UInt16 {
        var port = request.host.port
        // As Envoy: a port that the client named stays, but for the one that its own scheme implies.
        let implied: UInt16 = request.isHTTPS ? 443 : 80
        if entry.port == .unchanged, port == implied, isHTTPS != request.isHTTPS { port = 0 }
        return switch entry.port {
        case .number: entry.portNumber
        case .fromRequestPort: requestPort != 0 ? requestPort : port
        case .fromProtocolDefault: 0
        case .unchanged: entry.authority.isEmpty ? port : 0
        }
    }
}
