public import HTTP
internal import Matching
public import Primitives

/// What tells one counted party from another.
public enum RateLimitPart {
    /// Bytes of the request.
    case value(LentBytes)
    /// The client's address, which the caller knows.
    case client
    /// The request has no such thing.
    case absent
}

extension RoutingTables {
    /// Whether a limit counts the request. `port`: the one dialled.
    public func applies(_ entry: RateLimitEntry, port: UInt16, _ request: borrowing RouteRequest, _ head: borrowing MessageHead) -> Bool {
        view.isCounted(entry, port: port, request.parts, head)
    }

    /// Calls `add` with each part of who is counted. The bytes are good as long as the request's.
    public func forEachPart(
        _ entry: RateLimitEntry, _ request: borrowing RouteRequest, _ head: borrowing MessageHead, _ add: (RateLimitPart) -> Void
    ) {
        let view = self.view
        for index in entry.keys.indices {
            switch view.rows.rateLimitKeys[index] {
            case .header(let name):
                add(head.bytes(named: view.bytes(name)).map { .value($0) } ?? .absent)
            case .queryParameter(let name):
                let value = view.parameter(view.bytes(name), request.parts.query)
                add(value.map { .value($0) } ?? .absent)
            case .clientAddress: add(.client)
            case .claim(let path):
                let claims = request.parts.claims
                let place = claims.entryIndex(at: view.bytes(path))
                add(place.map { .value(claims.valueText(claims[$0])) } ?? .absent)
            }
        }
    }

    /// Calls `body` with each field that a refusal by this limit carries.
    public func forEachRefusalField(_ entry: RateLimitEntry, _ body: (LentBytes, LentBytes) -> Void) {
        let view = self.view
        for index in entry.responseFields.indices {
            let field = view.rows.fieldTexts[index]
            body(view.bytes(field.name), view.bytes(field.value))
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
