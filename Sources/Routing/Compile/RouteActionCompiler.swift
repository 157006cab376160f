internal import Matching
internal import MeshConfig
internal import Primitives

/// What a route does besides choosing its destination, compiled: retries, faults, mirrors, rewrites, redirects, direct responses, CORS.
struct RouteActionCompiler {
    /// Destinations that one route mirrors to.
    static let mirrorsMax = 4
    /// Bytes of a direct response's body (Istio's limit: 1 MB).
    static let directBodyBytesMax = 1 << 20

    let clusters: ClusterCompiler
    let draft: SnapshotBuilder

    /// The index of the route's actions; 0 when it only forwards, with Istio's default retries.
    func addActions(_ route: HTTPRoute, of rule: VirtualService, port: UInt16) -> UInt32 {
        var actions = RouteActions()
        if let redirect = route.redirect {
            actions.kind = .redirect
            actions.redirect = addRedirect(redirect)
        } else if let direct = route.directResponse {
            actions.kind = .directResponse
            actions.directResponse = addDirectResponse(direct, route, rule)
        }
        if let retries = route.retries { actions.retry = addRetry(retries, rule) }
        if let fault = route.fault { actions.fault = faultPolicy(fault, rule, route) }
        if let rewrite = route.rewrite { actions.rewrite = addRewrite(rewrite, rule) }
        if let cors = route.corsPolicy { actions.cors = addCORS(cors) }
        actions.mirrors = addMirrors(route, rule, port: port)
        let isAnswered = route.redirect != nil || route.directResponse != nil
        let isPlain = route.retries == nil && route.fault == nil && route.rewrite == nil && route.corsPolicy == nil
            && actions.mirrors.isEmpty
        return isPlain && !isAnswered ? 0 : draft.routeActions.add(actions)
    }

    // MARK: Retries

    private func addRetry(_ retries: HTTPRetry, _ rule: VirtualService) -> RetryPolicy {
        var policy = RetryPolicy.istioDefault
        // More than this many tries of one request help nobody; Envoy's own type ends at 2^32. Absent is 0 in Istio's type, and 0 means no
        // policy at all, a time limit for each try included.
        policy.attempts = min(retries.attempts ?? 0, 255)
        guard policy.attempts > 0 else { return policy }
        if let timeout = retries.perTryTimeoutNanoseconds, timeout > 0 { policy.perTryTimeoutNanoseconds = UInt64(timeout) }
        if let base = retries.backoffNanoseconds, base > 0 { policy.backoffBaseNanoseconds = UInt64(base) }
        if let ignores = retries.retryIgnorePreviousHosts { policy.avoidsPreviousHosts = ignores }
        policy.retriesRemoteLocalities = retries.retryRemoteLocalities ?? false
        guard !retries.retryOn.isEmpty else { return policy }
        policy.isAskedFor = true
        policy.conditions = []
        let start = draft.statusCodes.count
        for name in retries.retryOn {
            if let code = UInt16(name), (100...599).contains(code) {
                draft.statusCodes.add(code)
                policy.conditions.insert(.retriableStatusCodes)
            } else if let condition = RetryConditions.names[name] {
                policy.conditions.insert(condition)
            } else {
                draft.report(
                    .error, "SKN0304", retries.retryOnPosition, rule.id, "spec.http.retries.retryOn",
                    "\"\(name)\" is neither a status code nor a condition; known are "
                        + RetryConditions.names.keys.sorted().joined(separator: ", "))
            }
        }
        policy.statusCodes = draft.statusCodes.range(from: start)
        return policy
    }

    // MARK: Faults and mirrors

    private func faultPolicy(_ fault: HTTPFaultInjection, _ rule: VirtualService, _ route: HTTPRoute) -> FaultPolicy {
        var policy = FaultPolicy()
        if let delay = fault.delay, delay.fixedDelayNanoseconds > 0 {
            policy.delayNanoseconds = UInt64(delay.fixedDelayNanoseconds)
            policy.delayShare = FaultPolicy.share(percent: delay.percentage)
        }
        if let abort = fault.abort {
            policy.abortShare = FaultPolicy.share(percent: abort.percentage)
            switch abort.error {
            case .httpStatus(let status):
                policy.abort = .http
                policy.abortStatus = status
            case .grpcStatus(let name):
                policy.abort = .grpc
                if let code = Self.grpcCode(name) {
                    policy.abortStatus = code
                } else {
                    draft.report(
                        .error, "SKN0305", abort.errorPosition, rule.id, "spec.http.fault.abort.grpcStatus",
                        "\"\(name)\" is no gRPC status; write a name such as UNAVAILABLE or a number 0...16")
                }
            }
        }
        return policy
    }

    private static let grpcNames = [
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
        "UNAUTHENTICATED",
    ]

    private static func grpcCode(_ name: String) -> UInt16? {
        if let number = UInt16(name) { return number <= 16 ? number : nil }
        return grpcNames.firstIndex(of: name.uppercased()).map { UInt16($0) }
    }

    private func addMirrors(_ route: HTTPRoute, _ rule: VirtualService, port: UInt16) -> TableRange {
        var entries: [MirrorEntry] = []
        for mirror in route.mirrors {
            let share = FaultPolicy.share(percent: mirror.percentage)
            guard share > 0 else { continue }
            guard entries.count < Self.mirrorsMax else {
                draft.report(
                    .warning, "SKN0306", mirror.destination.position, rule.id, "spec.http.mirrors",
                    "more than \(Self.mirrorsMax) mirrors: the rest are left out")
                break
            }
            let index = clusters.cluster(mirror.destination, of: rule.id.namespace, fallbackPort: port)
            entries.append(MirrorEntry(cluster: index, share: share))
        }
        return draft.mirrors.add(contentsOf: entries)
    }

    // MARK: Rewrite, redirect, direct response

    private func addRewrite(_ rewrite: HTTPRewrite, _ rule: VirtualService) -> RewriteEntry {
        var entry = RewriteEntry()
        if let (pattern, text) = rewrite.uriRegex {
            entry.path = .regex
            let (regex, problems) = draft.matchers.addRewrite(pattern, by: text)
            entry.regex = regex
            for problem in problems {
                switch problem {
                case .pattern(let reason):
                    MatchCompiler(draft: draft).reportRegex(pattern, reason, rewrite.position, "spec.http.rewrite.uriRegexRewrite.match")
                case .unknownGroup:
                    draft.report(
                        .error, "SKN0307", rewrite.position, rule.id, "spec.http.rewrite.uriRegexRewrite.rewrite",
                        "\"\(text)\" refers to a group that \"\(pattern)\" does not have")
                }
            }
        } else if !rewrite.uri.isEmpty {
            entry.path = .uri
            entry.replacement = draft.text.add(text: rewrite.uri)
        }
        if !rewrite.authority.isEmpty { entry.authority = draft.text.add(text: rewrite.authority) }
        return entry
    }

    private func addRedirect(_ redirect: HTTPRedirect) -> RedirectEntry {
        var entry = RedirectEntry()
        entry.status = redirect.redirectCode
        entry.uri = draft.text.add(text: redirect.uri)
        entry.authority = draft.text.add(text: redirect.authority)
        entry.scheme = draft.text.add(text: redirect.scheme.lowercased())
        switch redirect.port {
        case .number(let number):
            entry.port = .number
            entry.portNumber = number
        case .fromProtocolDefault: entry.port = .fromProtocolDefault
        case .fromRequestPort: entry.port = .fromRequestPort
        case nil: entry.port = .unchanged
        }
        return entry
    }

    private func addDirectResponse(_ direct: HTTPDirectResponse, _ route: HTTPRoute, _ rule: VirtualService) -> DirectResponseEntry {
        var entry = DirectResponseEntry()
        entry.status = direct.status
        let bytes: [UInt8] =
            switch direct.body {
            case .string(let text): Array(text.utf8)
            case .bytes(let bytes): bytes
            case nil: []
            }
        guard bytes.count <= Self.directBodyBytesMax else {
            draft.report(
                .error, "SKN0308", route.position, rule.id, "spec.http.directResponse.body",
                "is \(bytes.count) bytes; at most \(Self.directBodyBytesMax) are served")
            return entry
        }
        entry.body = draft.text.add(contentsOf: bytes)
        return entry
    }

    // MARK: CORS

    private func addCORS(_ policy: CORSPolicy) -> Int32 {
        var entry = CORSEntry()
        let matches = MatchCompiler(draft: draft)
        entry.origins = draft.originMatchers.add(
            contentsOf: policy.allowOrigins.map { origin in
                // Envoy reads an exact `*` as any origin.
                if case .exact("*") = origin.condition { .present } else { matches.compileString(origin) }
            })
        entry.methods = draft.text.add(text: policy.allowMethods.joined(separator: ","))
        entry.headers = draft.text.add(text: policy.allowHeaders.joined(separator: ","))
        entry.exposed = draft.text.add(text: policy.exposeHeaders.joined(separator: ","))
        if let age = policy.maxAgeNanoseconds { entry.maxAge = age / 1_000_000_000 }
        entry.allowsCredentials = policy.allowCredentials ?? false
        entry.answersUnmatched = policy.ignoresUnmatchedPreflights
        return Int32(clamping: draft.cors.add(entry))
    }
}
