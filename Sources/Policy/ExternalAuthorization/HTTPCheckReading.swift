public import HTTP
public import Primitives

/// An authorizer's answer by HTTP (Envoy: ext_authz with `http_service`): 200 lets in, 5xx is a failure, everything else refuses and is
/// what the client gets.
extension CheckAnswer {
    /// `head` was parsed as any response's, so that its names and values are well-formed. `body`: the whole of it.
    public mutating func read(_ head: borrowing MessageHead, body: LentBytes, of authorizer: ExternalAuthorizer) {
        clear()
        switch head.statusCode {
        case 200:
            guard takeAllowed(head, authorizer) else { return fail() }
            conclude(.allowed)
        case 500...: fail()
        default:
            guard takeDenied(head, authorizer), setBody(body) else { return fail() }
            conclude(.denied(status: head.statusCode))
        }
    }

    /// Envoy's: names of fields that go out of the request, with commas between.
    private static let namesRemoved: StaticString = "x-envoy-auth-headers-to-remove"

    private mutating func takeAllowed(_ head: borrowing MessageHead, _ authorizer: ExternalAuthorizer) -> Bool {
        for index in 0..<head.fieldCount {
            let (name, value) = (head.nameBytes(at: index), head.bytes(at: index))
            if name.equalsIgnoringCase(LentBytes(Self.namesRemoved)) { continue }
            if authorizer.passesToUpstream(name), !add(.set, isOfResponse: false, name, value) { return false }
            if authorizer.passesToDownstream(name), !add(.add, isOfResponse: true, name, value) { return false }
        }
        // What goes out of the request goes last, as in Envoy.
        for index in 0..<head.fieldCount where head.isNamed(LentBytes(Self.namesRemoved), at: index) {
            if !remove(head.bytes(at: index)) { return false }
        }
        return true
    }

    private mutating func remove(_ list: LentBytes) -> Bool {
        var start = 0
        while start < list.count {
            let end = list.index(of: UInt8(ascii: ","), from: start)
            let name = unsafe LentBytes(ASCII.trim(list[start..<end].buffer))
            start = end + 1
            if name.isEmpty { continue }
            guard CheckFields.isForRequests(name) else {
                noteDropped()
                continue
            }
            guard add(.remove, isOfResponse: false, name) else { return false }
        }
        return true
    }

    private mutating func takeDenied(_ head: borrowing MessageHead, _ authorizer: ExternalAuthorizer) -> Bool {
        for index in 0..<head.fieldCount {
            let (name, value) = (head.nameBytes(at: index), head.bytes(at: index))
            if authorizer.passesToRefused(name), !add(.add, isOfResponse: true, name, value) { return false }
        }
        return true
    }
}
