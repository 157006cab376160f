internal import HTTP
internal import Primitives

/// Which fields of a request go on to the endpoint, whatever the configuration says: those for this hop alone stay behind (RFC 9110 7.6.1),
/// as do those that only Envoy's internal callers may send.
enum RequestFieldRules {
    /// Whether a `Connection` field has this one left out. One that is for everybody on the way stays, whoever names it.
    static func isNamedByConnection(_ name: LentBytes, _ head: borrowing MessageHead) -> Bool {
        if unsafe FieldRules.isEndToEnd(name.buffer) { return false }
        var isNamed = false
        for index in 0..<head.fieldCount where head.fieldName(at: index) == .connection {
            HeadParser.forEachListItem(head.bytes(at: index)) { if $0.equalsIgnoringCase(name) { isNamed = true } }
        }
        return isNamed
    }

    /// Whether the value of `TE` lists trailers (RFC 9110 10.1.4).
    static func listsTrailers(_ value: LentBytes) -> Bool {
        var isListed = false
        HeadParser.forEachListItem(value) { if $0.equals(ignoringCase: "trailers") { isListed = true } }
        return isListed
    }

    /// Whether the `Expect` field goes to the endpoint, which answers it (RFC 9110 10.1.1). HTTP/1.0 has no 100-continue, and without a
    /// body there is nothing to wait for.
    static func forwards(expectation value: LentBytes, _ traits: RequestTraits) -> Bool {
        if traits.contains(.isHTTP10) { return false }
        return traits.contains(.expectsContinue) || !value.equals(ignoringCase: "100-continue")
    }

    /// Further fields by which Envoy's internal callers steer it, and on the inbound side those that a request's own limits are asked for
    /// by: for one hop, or the next proxy might obey. `name` begins with `x-envoy-`.
    static func steersEnvoy(_ name: LentBytes) -> Bool {
        let rest = name.from(8)
        func equal(_ text: StaticString) -> Bool { rest.equals(ignoringCase: text) }
        return switch rest.count {
        case 7: equal("ip-tags")
        case 8: equal("retry-on") || equal("internal")
        case 11: equal("max-retries") || equal("force-trace")
        case 12: equal("original-url")
        case 13: equal("retry-grpc-on")
        case 22:
            equal("upstream-rq-timeout-ms") || equal("expected-rq-timeout-ms") || equal("retriable-status-codes")
                || equal("retriable-header-names") || equal("upstream-alt-stat-name")
        case 24: equal("hedge-on-per-try-timeout")
        case 30: equal("upstream-rq-per-try-timeout-ms")
        case 32: equal("upstream-rq-timeout-alt-response")
        default: false
        }
    }
}
