internal import Primitives

/// What holds for fields by their names, besides those that `HeaderName` knows. Asked for trailers and for what a `Connection` field
/// names, never for the common field.
public enum FieldRules {
    /// Whether a field is for everybody on the way, so that a `Connection` field cannot have it left out (RFC 9110 7.6.1: such an option
    /// must not be sent). Whoever could take `Authorization` or `Cookie` from a request on its way could make it another request.
    @unsafe
    public static func isEndToEnd(_ name: UnsafeRawBufferPointer) -> Bool {
        unsafe isControl(name) || hasPrefix(name, "grpc-") || ASCII.equal(name, ignoringCase: "etag")
            || ASCII.equal(name, ignoringCase: "from")
            || ASCII.equal(name, ignoringCase: "content-digest")
    }

    /// Whether a trailer section may not have the field (RFC 9110 6.5.1): who reads trailers into the head, as some servers do, would
    /// take it for what the proxy made sure of there. What is defined for trailers passes: `grpc-status` and its like, `ETag`,
    /// `Authentication-Info`, `Content-Digest` (RFC 9530).
    @unsafe
    public static func isForbiddenInTrailers(_ name: UnsafeRawBufferPointer) -> Bool {
        unsafe HeaderName.lookup(name) != .other || isControl(name)
    }

    /// Routing, modifiers of the request, credentials, content, caching, tracing, and what proxies tell each other.
    private static func isControl(_ name: UnsafeRawBufferPointer) -> Bool {
        if unsafe hasPrefix(name, "content-") { return unsafe !ASCII.equal(name, ignoringCase: "content-digest") }
        if unsafe hasPrefix(name, "x-forwarded-") || hasPrefix(name, "x-envoy-") || hasPrefix(name, "x-b3-")
            || hasPrefix(name, "x-original-")
            || hasPrefix(name, "if-") || hasPrefix(name, "accept-") || hasPrefix(name, "access-control-") || hasPrefix(name, "sec-")
        {
            return true
        }
        func equal(_ text: StaticString) -> Bool { unsafe ASCII.equal(name, ignoringCase: text) }
        return switch name.count {
        case 3: equal("via") || equal("age")
        case 4: equal("vary")
        case 5: equal("range") || equal("allow")
        case 6: equal("cookie") || equal("origin") || equal("pragma")
        case 7: equal("referer") || equal("expires") || equal("warning") || equal("baggage")
        case 8: equal("location")
        case 9: equal("forwarded") || equal("x-real-ip")
        case 10: equal("set-cookie")
        case 11: equal("retry-after") || equal("x-client-ip")
        case 12: equal("max-forwards")
        case 13:
            equal("authorization") || equal("cache-control") || equal("last-modified") || equal("x-rewrite-url")
                || equal("uber-trace-id")
        case 14: equal("true-client-ip")
        case 16: equal("www-authenticate") || equal("cf-connecting-ip")
        case 17: equal("x-ot-span-context") || equal("x-method-override")
        case 21: equal("x-cloud-trace-context")
        case 22: equal("x-http-method-override")
        case 25: equal("strict-transport-security")
        default: false
        }
    }

    private static func hasPrefix(_ name: UnsafeRawBufferPointer, _ prefix: StaticString) -> Bool {
        let count = prefix.utf8CodeUnitCount
        return unsafe name.count > count && ASCII.equal(UnsafeRawBufferPointer(rebasing: name[..<count]), ignoringCase: prefix)
    }
}
