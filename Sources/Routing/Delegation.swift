internal import MeshConfig

/// VirtualService delegates: the rules of another VirtualService in place of one rule (Istio's `delegate`). One level deep, as in Istio.
extension RouteCompiler {
    /// The rules in effect: each with the VirtualService whose namespace its host names are resolved in.
    mutating func expand(_ rule: VirtualService) -> [(route: HTTPRoute, owner: VirtualService)] {
        rule.http.flatMap { route -> [(route: HTTPRoute, owner: VirtualService)] in
            guard let wanted = route.delegate else { return [(route, rule)] }
            let namespace = wanted.namespace.isEmpty ? rule.id.namespace : wanted.namespace
            guard let target = configuration.virtualServices.first(where: { $0.id.name == wanted.name && $0.id.namespace == namespace }) else {
                report(
                    .warning, "SKN0312", route.position, rule.id, "spec.http.delegate",
                    "no VirtualService \(namespace)/\(wanted.name): requests of this rule go on to the next")
                return []
            }
            guard target.hosts.isEmpty else {
                report(
                    .warning, "SKN0313", route.position, rule.id, "spec.http.delegate",
                    "VirtualService \(namespace)/\(wanted.name) has hosts of its own, so it is no delegate: requests of this rule go on to the next")
                return []
            }
            var owner = target
            // A delegate names no gateways: it is used where its parent is.
            owner.gateways = rule.gateways
            return target.http.compactMap { inner in merge(route, inner).map { ($0, owner) } }
        }
    }

    /// A delegate's rule under its parent's conditions; nil when both can never hold together.
    private func merge(_ outer: HTTPRoute, _ inner: HTTPRoute) -> HTTPRoute? {
        var merged = inner
        merged.delegate = nil
        if merged.name.isEmpty { merged.name = outer.name }
        // What the parent says wins, as in Istio.
        merged.timeoutNanoseconds = outer.timeoutNanoseconds ?? inner.timeoutNanoseconds
        merged.retries = outer.retries ?? inner.retries
        merged.fault = outer.fault ?? inner.fault
        merged.rewrite = outer.rewrite ?? inner.rewrite
        merged.corsPolicy = outer.corsPolicy ?? inner.corsPolicy
        merged.headers = outer.headers ?? inner.headers
        if merged.mirrors.isEmpty { merged.mirrors = outer.mirrors }
        if outer.matches.isEmpty { return merged }
        if inner.matches.isEmpty {
            merged.matches = outer.matches
            return merged
        }
        merged.matches = outer.matches.flatMap { left in inner.matches.compactMap { right in Self.merge(left, right) } }
        return merged.matches.isEmpty ? nil : merged
    }

    private static func merge(_ outer: HTTPMatchRequest, _ inner: HTTPMatchRequest) -> HTTPMatchRequest? {
        var merged = inner
        if let uri = outer.uri {
            if let own = inner.uri {
                guard covers(uri, own) else { return nil }
            } else {
                merged.uri = uri
                merged.ignoreURICase = outer.ignoreURICase
            }
        }
        if outer.port != nil, inner.port != nil, outer.port != inner.port { return nil }
        for (left, right) in [(outer.scheme, inner.scheme), (outer.method, inner.method), (outer.authority, inner.authority)] {
            if let left, let right, !covers(left, right) { return nil }
        }
        merged.scheme = inner.scheme ?? outer.scheme
        merged.method = inner.method ?? outer.method
        merged.authority = inner.authority ?? outer.authority
        merged.port = inner.port ?? outer.port
        merged.headers += outer.headers
        merged.withoutHeaders += outer.withoutHeaders
        merged.queryParameters += outer.queryParameters
        merged.sourceLabels.merge(outer.sourceLabels) { own, _ in own }
        if merged.sourceNamespace.isEmpty { merged.sourceNamespace = outer.sourceNamespace }
        if merged.gateways.isEmpty { merged.gateways = outer.gateways }
        return merged
    }

    /// Whether everything that `inner` takes, `outer` takes too, as far as their texts show; Istio merges nothing else.
    private static func covers(_ outer: StringMatch, _ inner: StringMatch) -> Bool {
        switch (outer.condition, inner.condition) {
        case (.prefix(let prefix), .prefix(let text)), (.prefix(let prefix), .exact(let text)): text.hasPrefix(prefix)
        case (.exact(let left), .exact(let right)): left == right
        case (.regex(let left), .regex(let right)): left == right
        case (.present, _): true
        default: false
        }
    }
}
