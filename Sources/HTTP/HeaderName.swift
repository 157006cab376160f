public import Primitives

/// The field names that the proxy acts on. Everything else is `.other` and passes through untouched.
public enum HeaderName: UInt8, Sendable, BitwiseCopyable {
    case other
    case host, connection, contentLength, transferEncoding, expect, upgrade, te, trailer, keepAlive, proxyConnection
    case proxyAuthorization, proxyAuthenticate
    case userAgent, forwardedFor, forwardedProto, requestID, b3, b3TraceID, b3SpanID, b3ParentSpanID, b3Sampled, b3Flags
    case traceparent, tracestate, http2Settings, upstreamServiceTime, envoyAttemptCount, envoyOriginalPath
    case contentEncoding, contentType, accept, acceptEncoding, date, server, maxForwards, forwardedClientCert
    /// Any other `x-envoy-*`: what proxies tell each other.
    case envoyOther

    /// Number of cases, for tables indexed by raw value.
    @inlinable public static var count: Int { 38 }

    /// Fields that belong to one connection and are never forwarded (RFC 9110 7.6.1). `Transfer-Encoding` and `Content-Length` are
    /// written anew.
    @inlinable public var isHopByHop: Bool {
        switch self {
        case .connection, .keepAlive, .proxyConnection, .te, .transferEncoding, .upgrade, .http2Settings, .proxyAuthenticate,
            .proxyAuthorization:
            true
        default: false
        }
    }

    /// Means something in HTTP/1.1 and has no place in HTTP/2 (RFC 9113 8.2.2).
    @inlinable var isOfHTTP1: Bool {
        switch self {
        case .host, .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: true
        default: false
        }
    }

    /// Recognises a name in any case.
    @unsafe @inlinable
    public static func lookup(_ name: UnsafeRawBufferPointer) -> HeaderName {
        let found = unsafe known(name)
        guard found == .other, name.count > 8, unsafe name[0] | 0x20 == UInt8(ascii: "x") else { return found }
        return unsafe ASCII.equal(UnsafeRawBufferPointer(rebasing: name[..<8]), ignoringCase: "x-envoy-") ? .envoyOther : .other
    }

    /// Whether a name becomes a known one when its underscores are read as dashes. CGI, WSGI and what came after them hand both to the
    /// application under one name, so the one that we did not write would speak for the one that we did.
    @unsafe
    public static func isLookalike(_ name: UnsafeRawBufferPointer) -> Bool {
        // No known name is longer, but for what follows `x-envoy-`.
        let count = min(name.count, 32)
        var dashed = InlineArray<32, UInt8>(repeating: 0)
        for index in 0..<count { unsafe dashed[index] = name[index] == UInt8(ascii: "_") ? UInt8(ascii: "-") : name[index] }
        return unsafe withUnsafeBytes(of: &dashed) { bytes in
            let found = unsafe lookup(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            return found == .envoyOther || found != .other && name.count == count
        }
    }

    @unsafe @inlinable @inline(__always)
    static func known(_ name: UnsafeRawBufferPointer) -> HeaderName {
        @inline(__always)
        func equal(_ text: StaticString, _ value: HeaderName) -> HeaderName {
            unsafe ASCII.equalUnrolled(name, text) ? value : .other
        }
        // The byte that tells names of one length apart decides which one to compare.
        switch name.count {
        case 2:
            switch unsafe name[0] | 0x20 {
            case UInt8(ascii: "t"): return equal("te", .te)
            case UInt8(ascii: "b"): return equal("b3", .b3)
            default: return .other
            }
        case 4:
            switch unsafe name[0] | 0x20 {
            case UInt8(ascii: "h"): return equal("host", .host)
            case UInt8(ascii: "d"): return equal("date", .date)
            default: return .other
            }
        case 6:
            switch unsafe name[0] | 0x20 {
            case UInt8(ascii: "e"): return equal("expect", .expect)
            case UInt8(ascii: "a"): return equal("accept", .accept)
            case UInt8(ascii: "s"): return equal("server", .server)
            default: return .other
            }
        case 7:
            switch unsafe name[0] | 0x20 {
            case UInt8(ascii: "u"): return equal("upgrade", .upgrade)
            case UInt8(ascii: "t"): return equal("trailer", .trailer)
            default: return .other
            }
        case 10:
            switch unsafe name[0] | 0x20 {
            case UInt8(ascii: "c"): return equal("connection", .connection)
            case UInt8(ascii: "k"): return equal("keep-alive", .keepAlive)
            case UInt8(ascii: "u"): return equal("user-agent", .userAgent)
            case UInt8(ascii: "x"): return equal("x-b3-flags", .b3Flags)
            case UInt8(ascii: "t"): return equal("tracestate", .tracestate)
            default: return .other
            }
        case 11:
            switch unsafe name[0] | 0x20 {
            case UInt8(ascii: "x"): return equal("x-b3-spanid", .b3SpanID)
            case UInt8(ascii: "t"): return equal("traceparent", .traceparent)
            default: return .other
            }
        case 12:
            switch unsafe name[5] | 0x20 {
            case UInt8(ascii: "u"): return equal("x-request-id", .requestID)
            case UInt8(ascii: "t"): return equal("x-b3-traceid", .b3TraceID)
            case UInt8(ascii: "s"): return equal("x-b3-sampled", .b3Sampled)
            case UInt8(ascii: "n"): return equal("content-type", .contentType)
            case UInt8(ascii: "o"): return equal("max-forwards", .maxForwards)
            default: return .other
            }
        case 14:
            switch unsafe name[0] | 0x20 {
            case UInt8(ascii: "c"): return equal("content-length", .contentLength)
            case UInt8(ascii: "h"): return equal("http2-settings", .http2Settings)
            default: return .other
            }
        case 15:
            switch unsafe name[0] | 0x20 {
            case UInt8(ascii: "x"): return equal("x-forwarded-for", .forwardedFor)
            case UInt8(ascii: "a"): return equal("accept-encoding", .acceptEncoding)
            default: return .other
            }
        case 16:
            switch unsafe name[0] | 0x20 {
            case UInt8(ascii: "p"): return equal("proxy-connection", .proxyConnection)
            case UInt8(ascii: "c"): return equal("content-encoding", .contentEncoding)
            default: return .other
            }
        case 17:
            switch unsafe name[2] | 0x20 {
            case UInt8(ascii: "a"): return equal("transfer-encoding", .transferEncoding)
            case UInt8(ascii: "f"): return equal("x-forwarded-proto", .forwardedProto)
            case UInt8(ascii: "b"): return equal("x-b3-parentspanid", .b3ParentSpanID)
            default: return .other
            }
        case 18: return equal("proxy-authenticate", .proxyAuthenticate)
        case 19: return equal("proxy-authorization", .proxyAuthorization)
        case 21:
            switch unsafe name[8] | 0x20 {
            case UInt8(ascii: "a"): return equal("x-envoy-attempt-count", .envoyAttemptCount)
            case UInt8(ascii: "o"): return equal("x-envoy-original-path", .envoyOriginalPath)
            default: return .other
            }
        case 23: return equal("x-forwarded-client-cert", .forwardedClientCert)
        case 29: return equal("x-envoy-upstream-service-time", .upstreamServiceTime)
        default: return .other
        }
    }
}
