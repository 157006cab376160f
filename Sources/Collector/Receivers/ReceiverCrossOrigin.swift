internal import HTTPService

/// What lets a page of another origin send spans (Fetch standard, CORS protocol).
///
/// `navigator.sendBeacon` always sends credentials, and a browser lets such a request through only to who names the page's origin and
/// allows them; `*` does not do. Credentials could open nothing here: they are not looked at. Reads stay with `*`, so that a page sees with
/// them no more than without.
enum ReceiverCrossOrigin {
    static func headers(_ request: borrowing ServiceRequest) -> [(name: String, value: String)] {
        guard let origin = request.header("origin") else { return [("Access-Control-Allow-Origin", "*")] }
        return [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true"), ("Vary", "Origin")]
    }

    /// The method of a request, or of the one that a preflight asks for.
    static func method(_ request: borrowing ServiceRequest) -> String {
        guard request.method == "OPTIONS" else { return request.method }
        return request.header("access-control-request-method") ?? "OPTIONS"
    }

    static func preflight(_ request: borrowing ServiceRequest) -> ServiceResponse {
        ServiceResponse(
            status: 204,
            headers: headers(request) + [
                ("Access-Control-Allow-Methods", "POST, OPTIONS"),
                ("Access-Control-Allow-Headers", request.header("access-control-request-headers") ?? "Content-Type, Content-Encoding"),
                ("Access-Control-Max-Age", "86400"), ("Allow", "POST, OPTIONS"),
            ])
    }
}
