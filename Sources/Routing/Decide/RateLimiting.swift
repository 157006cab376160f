public import HTTP
internal import Matching
internal import Primitives

/// What tells one counted party from another.
@unsafe
public enum RateLimitPart {
    /// Bytes of the request.
    case value(UnsafeRawBufferPointer)
    /// The client's address, which the caller knows.
    case client
    /// The request has no such thing.
    case absent
}

extension RoutingTables {
    /// Whether a limit counts the request. `port`: the one dialled.
    public func applies(_ entry: RateLimitEntry, port: UInt16, _ request: borrowing RouteRequest, _ head: borrowing MessageHead) -> Bool {
        unsafe view.isCounted(entry, port: port, request.parts, head)
    }

    /// Calls `add` with each part of who is counted. The bytes are good as long as the request's.
    public func forEachPart(
        _ entry: RateLimitEntry, _ request: borrowing RouteRequest, _ head: borrowing MessageHead, _ add: (RateLimitPart) -> Void
    ) {
        let view = unsafe self.view
        for index in entry.keys.indices {
            switch view.rows.rateLimitKeys[index] {
            case .header(let name):
                unsafe add(head.value(named: view.bytes(name).buffer).map { unsafe .value($0) } ?? .absent)
            case .queryParameter(let name):
                let value = unsafe view.parameter(view.bytes(name), request.parts.query)
                unsafe add(value.map { unsafe .value($0.buffer) } ?? .absent)
            case .clientAddress: unsafe add(.client)
            case .claim(let path):
                let claims = unsafe request.parts.claims
                let place = claims.entryIndex(at: view.bytes(path))
                unsafe add(place.map { unsafe .value(claims.valueText(claims[$0]).buffer) } ?? .absent)
            }
        }
    }

    /// Calls `body` with each field that a refusal by this limit carries.
    public func forEachRefusalField(_ entry: RateLimitEntry, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void) {
        let view = unsafe self.view
        for index in entry.responseFields.indices {
            let field = view.rows.fieldTexts[index]
            unsafe body(view.bytes(field.name).buffer, view.bytes(field.value).buffer)
        }
    }
}

extension TableView {
    func isCounted(_ entry: RateLimitEntry, port: UInt16, _ request: RequestParts, _ head: borrowing MessageHead) -> Bool {
        guard entry.hosts.isEmpty || isNamed(entry.hosts, request.hostName) else { return false }
        return entry.match < 0 || isMatch(Int(entry.match), port: port, request, head)
    }

    private func isNamed(_ hosts: TableRange, _ host: LentBytes) -> Bool {
        for index in hosts.indices where rows.matchers.test(rows.hostPatterns[index], host) { return true }
        return false
    }
}
