extension ServiceRequest {
    /// What a path that only reads answers to other methods (RFC 9110 15.5.6); nil for GET and HEAD.
    public var readOnlyRefusal: ServiceResponse? {
        if method == "GET" || method == "HEAD" { return nil }
        return .text(405, "\(method.prefix(32)) is not accepted here; use GET or HEAD", headers: [("Allow", "GET, HEAD")])
    }
}
