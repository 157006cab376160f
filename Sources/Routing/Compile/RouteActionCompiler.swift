internal import CRE2
internal import MeshConfig
internal import TelemetryModel

/// What a route does besides choosing its destination, compiled: retries, faults, mirrors, rewrites, redirects, direct responses, CORS, header operations.
extension RouteCompiler {
    /// Destinations that one route mirrors to.
    static let mirrorsMax = 4
    /// Bytes of a direct response's body (Istio's limit: 1 MB).
    static let directBodyBytesMax = 1 << 20

    /// The index of the route's actions; 0 when it only forwards, with Istio's default retries.
    mutating func addActions(_ route: HTTPRoute, of rule: VirtualService, port: UInt16) -> UInt32 {
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
        if route.redirect == nil, route.directResponse == nil, route.retries == nil, route.fault == nil, route.rewrite == nil, route.corsPolicy == nil,
            actions.mirrors.isEmpty
        {
            return 0
        }
        builder.actions.append(actions)
        return UInt32(clamping: builder.actions.count - 1)
    }

    // MARK: Retries

    private mutating func addRetry(_ retries: HTTPRetry, _ rule: VirtualService) -> RetryPolicy {
        var policy = RetryPolicy.istioDefault
        // More than this many tries of one request help nobody; Envoy's own type ends at 2^32. Absent is 0 in Istio's type, and 0 means no policy at all, a time
        // limit for each try included.
        policy.attempts = min(retries.attempts ?? 0, 255)
        guard policy.attempts > 0 else { return policy }
        if let timeout = retries.perTryTimeoutNanoseconds, timeout > 0 { policy.perTryTimeoutNanoseconds = UInt64(timeout) }
        if let base = retries.backoffNanoseconds, base > 0 { policy.backoffBaseNanoseconds = UInt64(base) }
        if let ignores = retries.retryIgnorePreviousHosts { policy.avoidsPreviousHosts = ignores }
        policy.retriesRemoteLocalities = retries.retryRemoteLocalities ?? false
        guard !retries.retryOn.isEmpty else { return policy }
        policy.isAskedFor = true
        policy.conditions = []
        let start = builder.statusCodes.count
        for name in retries.retryOn {
            if let code = UInt16(name), (100...599).contains(code) {
                builder.statusCodes.append(code)
                policy.conditions.insert(.retriableStatusCodes)
            } else if let condition = RetryConditions.names[name] {
                policy.conditions.insert(condition)
            } else {
                report(
                    .error, "SKN0304", retries.retryOnPosition, rule.id, "spec.http.retries.retryOn",
                    "\"\(name)\" is neither a status code nor a condition; known are \(RetryConditions.names.keys.sorted().joined(separator: ", "))")
            }
        }
        policy.statusCodes = builder.range(start, builder.statusCodes.count)
        return policy
    }

    // MARK: Faults and mirrors

    private mutating func faultPolicy(_ fault: HTTPFaultInjection, _ rule: VirtualService, _ route: HTTPRoute) -> FaultPolicy {
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
                    report(
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

    private mutating func addMirrors(_ route: HTTPRoute, _ rule: VirtualService, port: UInt16) -> TableRange {
        var entries: [MirrorEntry] = []
        for mirror in route.mirrors {
            let share = FaultPolicy.share(percent: mirror.percentage)
            guard share > 0 else { continue }
            guard entries.count < Self.mirrorsMax else {
                report(
                    .warning, "SKN0306", mirror.destination.position, rule.id, "spec.http.mirrors",
                    "more than \(Self.mirrorsMax) mirrors: the rest are left out")
                break
            }
            let host = HostName.resolve(mirror.destination.host, namespace: rule.id.namespace).lowercased()
            let index = cluster(host: host, subset: mirror.destination.subset, port: mirror.destination.port, fallbackPort: port)
            entries.append(MirrorEntry(cluster: index, share: share))
        }
        let start = builder.mirrors.count
        builder.mirrors.append(contentsOf: entries)
        return builder.range(start, builder.mirrors.count)
    }

    // MARK: Rewrite, redirect, direct response

    private mutating func addRewrite(_ rewrite: HTTPRewrite, _ rule: VirtualService) -> RewriteEntry {
        var entry = RewriteEntry()
        if let (pattern, text) = rewrite.uriRegex {
            let match = StringMatch(condition: .regex(pattern), position: rewrite.position, field: "spec.http.rewrite.uriRegexRewrite.match")
            let matcher = builder.add(match, problems: &problems)
            entry.path = .regex
            entry.regex = matcher.regex
            entry.text = builder.add(text: text)
            var text = text
            let fits = text.withUTF8 { bytes in
                unsafe bytes.withMemoryRebound(to: CChar.self) { characters in
                    unsafe Int(matcher.regex) < builder.regexes.count
                        && skein_re2_check_rewrite(builder.regexes[Int(matcher.regex)], characters.baseAddress, characters.count)
                }
            }
            if !fits {
                report(
                    .error, "SKN0307", rewrite.position, rule.id, "spec.http.rewrite.uriRegexRewrite.rewrite",
                    "\"\(text)\" refers to a group that \"\(pattern)\" does not have")
            }
        } else if !rewrite.uri.isEmpty {
            entry.path = .uri
            entry.text = builder.add(text: rewrite.uri)
        }
        if !rewrite.authority.isEmpty { entry.authority = builder.add(text: rewrite.authority) }
        return entry
    }

    private mutating func addRedirect(_ redirect: HTTPRedirect) -> RedirectEntry {
        var entry = RedirectEntry()
        entry.status = redirect.redirectCode
        entry.uri = builder.add(text: redirect.uri)
        entry.authority = builder.add(text: redirect.authority)
        entry.scheme = builder.add(text: redirect.scheme.lowercased())
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

    private mutating func addDirectResponse(_ direct: HTTPDirectResponse, _ route: HTTPRoute, _ rule: VirtualService) -> DirectResponseEntry {
        var entry = DirectResponseEntry()
        entry.status = direct.status
        let bytes: [UInt8] =
            switch direct.body {
            case .string(let text): Array(text.utf8)
            case .bytes(let bytes): bytes
            case nil: []
            }
        guard bytes.count <= Self.directBodyBytesMax else {
            report(
                .error, "SKN0308", route.position, rule.id, "spec.http.directResponse.body", "is \(bytes.count) bytes; at most \(Self.directBodyBytesMax) are served")
            return entry
        }
        entry.body = builder.add(bytes: bytes)
        return entry
    }

    // MARK: CORS

    private mutating func addCORS(_ policy: CORSPolicy) -> Int32 {
        var entry = CORSEntry()
        var matchers: [StringMatcher] = []
        for origin in policy.allowOrigins {
            // Envoy reads an exact `*` as any origin.
            if case .exact("*") = origin.condition {
                var any = StringMatcher()
                any.kind = .present
                matchers.append(any)
            } else {
                matchers.append(builder.add(origin, problems: &problems))
            }
        }
        let start = builder.originMatchers.count
        builder.originMatchers.append(contentsOf: matchers)
        entry.origins = builder.range(start, builder.originMatchers.count)
        entry.methods = builder.add(text: policy.allowMethods.joined(separator: ","))
        entry.headers = builder.add(text: policy.allowHeaders.joined(separator: ","))
        entry.exposed = builder.add(text: policy.exposeHeaders.joined(separator: ","))
        if let age = policy.maxAgeNanoseconds { entry.maxAge = age / 1_000_000_000 }
        entry.allowsCredentials = policy.allowCredentials ?? false
        entry.answersUnmatched = policy.ignoresUnmatchedPreflights
        builder.cors.append(entry)
        return Int32(clamping: builder.cors.count - 1)
    }

    // MARK: Header operations

    /// The edits of a destination and its route as one, as istiod and Envoy together make them. A rule's only destination shares the rule's list: what is removed
    /// or replaced is so first, the rule's before the destination's, and then follows what is added. One of several has a list of its own, which is through before
    /// the rule's begins, so that the rule has the last word.
    mutating func addEdits(
        _ destination: HeaderOperations.Operations?, _ route: HeaderOperations.Operations?, _ isSingle: Bool, of rule: VirtualService, at position: SourcePosition
    ) -> HeaderEdits {
        var removals: [String] = []
        var replacements: [String] = []
        var additions: [(name: String, value: String)] = []
        func drop(_ name: String, _ names: inout [String]) {
            additions.removeAll { $0.name == name }
            if !names.contains(name) { names.append(name) }
        }
        for list in isSingle ? [[route, destination].compactMap(\.self)] : [[destination].compactMap(\.self), [route].compactMap(\.self)] {
            for operations in list {
                for name in operations.remove where isEditable(name, rule, position) { drop(name.lowercased(), &removals) }
            }
            for operations in list {
                for (name, value) in operations.set where isEditable(name, rule, position) && isSendable(value, name, rule, position) {
                    drop(name.lowercased(), &replacements)
                    additions.append((name.lowercased(), value))
                }
            }
            for operations in list {
                for (name, value) in operations.add where isEditable(name, rule, position) && isSendable(value, name, rule, position) {
                    additions.append((name.lowercased(), value))
                }
            }
        }
        var edits = HeaderEdits()
        edits.removals = addNames(removals)
        edits.replacements = addNames(replacements)
        var fields: [FieldText] = []
        for (name, value) in additions {
            guard let (program, plain) = addProgram(value) else {
                let isEnvoys = Self.hasEnvoysOperatorsOnly(value)
                report(
                    isEnvoys ? .warning : .error, "SKN0316", position, rule.id, "headers",
                    "the value of \"\(name)\", \"\(value)\", has an operator that is \(isEnvoys ? "Envoy's and not yet in effect: the field is left out" : "not known"); known are \(Self.operatorNames). Write %% for a percent sign."
                )
                continue
            }
            fields.append(FieldText(name: builder.add(text: name), value: builder.add(text: plain), program: program))
        }
        let additionStart = builder.fieldTexts.count
        builder.fieldTexts.append(contentsOf: fields)
        edits.additions = builder.range(additionStart, builder.fieldTexts.count)
        return edits
    }

    private mutating func addNames(_ names: [String]) -> TableRange {
        let start = builder.fieldTexts.count
        for name in names { builder.fieldTexts.append(FieldText(name: builder.add(text: name))) }
        return builder.range(start, builder.fieldTexts.count)
    }

    private static let framingNames: Set<String> = [
        "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "proxy-connection", "http2-settings",
    ]

    /// Fields that frame a message are the proxy's own; `Host` is changed by `rewrite.authority` or, as in Istio, by setting it (`authority(in:)`).
    private mutating func isEditable(_ name: String, _ rule: VirtualService, _ position: SourcePosition) -> Bool {
        let lower = name.lowercased()
        if lower == "host" || lower == ":authority" { return false }
        let isToken = !lower.isEmpty && lower.utf8.allSatisfy { byte in
            byte > 32 && byte < 127 && !"()<>@,;:\\\"/[]?={}".utf8.contains(byte)
        }
        guard isToken else {
            report(.error, "SKN0309", position, rule.id, "headers", "\"\(name)\" is no header name: letters, digits and !#$%&'*+-.^_`|~ are (RFC 9110 5.1)")
            return false
        }
        guard !Self.framingNames.contains(lower) else {
            report(.warning, "SKN0310", position, rule.id, "headers", "\"\(name)\" frames the message and is written by the proxy: the operation is left out")
            return false
        }
        return true
    }

    private mutating func isSendable(_ value: String, _ name: String, _ rule: VirtualService, _ position: SourcePosition) -> Bool {
        guard value.utf8.allSatisfy({ $0 >= 32 && $0 != 127 || $0 == 9 }) else {
            report(.error, "SKN0311", position, rule.id, "headers", "the value of \"\(name)\" has a control character, which no header may carry (RFC 9110 5.5)")
            return false
        }
        return true
    }

    /// The authority that header operations set, which Istio allows in place of `rewrite.authority`.
    static func authority(in lists: [HeaderOperations.Operations?]) -> String? {
        for operations in lists {
            for (name, value) in (operations?.set ?? []) where name.lowercased() == "host" || name.lowercased() == ":authority" { return value }
        }
        return nil
    }
}
