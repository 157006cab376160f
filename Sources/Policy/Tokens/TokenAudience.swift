internal import Primitives

/// How audiences are compared: without their scheme and without a slash at their end, as Envoy's jwt_authn does.
enum TokenAudience {
    static func essence(_ audience: LentBytes) -> LentBytes {
        var rest = audience
        for scheme in [LentBytes("https://"), LentBytes("http://")] where rest.hasPrefix(scheme) {
            rest = rest.from(scheme.count)
            break
        }
        return !rest.isEmpty && rest[rest.count - 1] == UInt8(ascii: "/") ? rest.prefix(rest.count - 1) : rest
    }
}
