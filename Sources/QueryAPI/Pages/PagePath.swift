public import HTTPService

/// The addresses of the page's own interfaces: `/skein/…`, and the same below `/zipkin`, where all that the page asks for stands as well.
public enum PagePath {
    /// Whether `path` is `name`, perhaps below `/zipkin`.
    public static func isNamed(_ name: String, _ path: String) -> Bool {
        path == name || (path.utf8.count == name.utf8.count + "/zipkin".utf8.count && path.hasPrefix("/zipkin") && path.hasSuffix(name))
    }
}

/// Answers of the page and of its own interfaces. No cross-origin header: what they tell is for the page and for programs.
public enum PageReply {
    /// What every answer of the page says to browsers: no script, style or frame from elsewhere, and none inside the document.
    static let securityHeaders: [(name: String, value: String)] = [
        ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
        ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
    ]

    static func html(_ body: [UInt8], status: UInt16 = 200) -> ServiceResponse {
        ServiceResponse(
            status: status, contentType: "text/html; charset=utf-8", headers: [("Cache-Control", "no-store")] + securityHeaders, body: body)
    }

    public static func json(_ body: [UInt8], status: UInt16 = 200) -> ServiceResponse {
        ServiceResponse(
            status: status, contentType: "application/json",
            headers: [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")], body: body)
    }
}
