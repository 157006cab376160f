internal import MeshConfig

/// VirtualService delegates: the rules of another VirtualService in place of one rule (Istio's `delegate`). One level deep, as in Istio.
struct Delegation {
    let scope: CompileScope
    let draft: SnapshotBuilder

    /// The rules in effect: each with the VirtualService whose namespace its host names are resolved in.
    func expand(_ rule: VirtualService) -> [(route: HTTPRoute, owner: VirtualService)] {
        rule.http.flatMap { route -> [(route: HTTPRoute, owner: VirtualService)] in
            guard let wanted = route.delegate else { return [(route, rule)] }
            let namespace = wanted.namespace.isEmpty ? rule.id.namespace : wanted.namespace
            guard let target = virtualService(wanted.name, namespace) else {
                draft.report(
                    .warning, "SKN0312", route.position, rule.id, "spec.http.delegate",
                    "no VirtualService \(namespace)/\(wanted.name): requests of this rule go on to the next")
                return []
            }
            guard target.hosts.isEmpty else {
                draft.report(
                    .warning, "SKN0313", route.position, rule.id, "spec.http.delegate",
                    "VirtualService \(namespace)/\(wanted.name) has hosts of its own, so it is no delegate: "
                        + "requests of this rule go on to the next")
                return []
            }
            var owner = target
            // A delegate names no gateways: it is used where its parent is.
            owner.gateways = rule.gateways
            return target.http.compactMap { inner in
                guard let merged = Self.merge(route, inner) else {
                    draft.report(
                        .warning, "SKN0318", inner.position, target.id, "spec.http",
                        "a match lies outside of those that \(rule.id) delegates here, so the rule is left out "
                            + "(line \(route.position.line) there)")
                    return nil
                }
                return (merged, owner)
            }
        }
    }

    private func virtualService(_ name: String, _ namespace: String) -> VirtualService? {
        scope.configuration.virtualServices.first { $0.id.name == name && $0.id.namespace == namespace }
    }

    /// A delegate's rule under its parent's conditions; nil when one of its own is within none of the parent's, or could not be told to be.
    /// What the delegate says wins, field by field (Istio: `mergeHTTPRoute` in pilot/pkg/model/virtualservice.go).
    private static func merge(_ outer: HTTPRoute, _ inner: HTTPRoute) -> HTTPRoute? {
        var merged = inner
        merged.delegate = nil
        merged.name = joinNames(outer.name, inner.name)
        merged.timeoutNanoseconds = inner.timeoutNanoseconds ?? outer.timeoutNanoseconds
        merged.retries = inner.retries ?? outer.retries
        merged.fault = inner.fault ?? outer.fault
        merged.rewrite = inner.rewrite ?? outer.rewrite
        merged.directResponse = inner.directResponse ?? outer.directResponse
        merged.corsPolicy = inner.corsPolicy ?? outer.corsPolicy
        merged.headers = inner.headers ?? outer.headers
        if merged.mirrors.isEmpty { merged.mirrors = outer.mirrors }
        guard !outer.matches.isEmpty, !inner.matches.isEmpty else {
            merged.matches = outer.matches + inner.matches
            return merged
        }
        merged.matches = []
        for right in inner.matches {
            let within = outer.matches.filter { left in covers(left, right) }
            if within.isEmpty { return nil }
            merged.matches += within.map { left in merge(left, right) }
        }
        return merged
    }

    private static func joinNames(_ outer: String, _ inner: String) -> String {
        outer.isEmpty ? inner : inner.isEmpty ? outer : "\(outer)-\(inner)"
    }

    private static func merge(_ outer: HTTPMatchRequest, _ inner: HTTPMatchRequest) -> HTTPMatchRequest {
        var merged = inner
        merged.name = joinNames(outer.name, inner.name)
        if inner.uri == nil {
            merged.uri = outer.uri
            merged.ignoreURICase = outer.ignoreURICase
        }
        merged.scheme = inner.scheme ?? outer.scheme
        merged.method = inner.method ?? outer.method
        merged.authority = inner.authority ?? outer.authority
        merged.port = inner.port ?? outer.port
        merged.headers = merge(outer.headers, inner.headers)
        merged.withoutHeaders = merge(outer.withoutHeaders, inner.withoutHeaders)
        merged.queryParameters = merge(outer.queryParameters, inner.queryParameters)
        merged.sourceLabels.merge(outer.sourceLabels) { own, _ in own }
        if merged.sourceNamespace.isEmpty { merged.sourceNamespace = outer.sourceNamespace }
        if merged.gateways.isEmpty { merged.gateways = outer.gateways }
        return merged
    }

    private static func merge(_ outer: [NamedStringMatch], _ inner: [NamedStringMatch]) -> [NamedStringMatch] {
        outer.filter { left in !inner.contains { $0.name == left.name } } + inner
    }

    /// Whether a delegate's match is within one of its parent, as far as their texts show.
    private static func covers(_ outer: HTTPMatchRequest, _ inner: HTTPMatchRequest) -> Bool {
        let texts = [(outer.uri, inner.uri), (outer.scheme, inner.scheme), (outer.method, inner.method), (outer.authority, inner.authority)]
        guard texts.allSatisfy({ covers($0, $1) }) else { return false }
        if outer.uri != nil, inner.uri != nil, outer.ignoreURICase != inner.ignoreURICase { return false }
        let lists = [
            (outer.headers, inner.headers), (outer.withoutHeaders, inner.withoutHeaders), (outer.queryParameters, inner.queryParameters),
        ]
        for (left, right) in lists {
            for own in right where !covers(left.first { $0.name == own.name }?.match, own.match) { return false }
        }
        return outer.port == nil || inner.port == nil || outer.port == inner.port
    }

    private static func covers(_ outer: StringMatch?, _ inner: StringMatch?) -> Bool {
        guard let outer, let inner else { return true }
        return covers(outer, inner)
    }

    /// Whether everything that `inner` takes, `outer` takes too. Of two regular expressions nobody can say, so Istio merges none.
    private static func covers(_ outer: StringMatch, _ inner: StringMatch) -> Bool {
        switch (outer.condition, inner.condition) {
        case (.prefix(let prefix), .prefix(let text)), (.prefix(let prefix), .exact(let text)): text.hasPrefix(prefix)
        case (.exact(let left), .exact(let right)): left == right
        case (.present, _): true
        default: false
        }
    }
}
