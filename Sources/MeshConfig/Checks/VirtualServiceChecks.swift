internal import Primitives

/// Istio's rules across the fields of a VirtualService.
struct VirtualServiceChecks {
    let findings: Findings

    func check(virtualService spec: NodeReader) {
        checkHosts(spec)
        NameChecks(findings: findings).check(exportToOf: spec)
        let isMesh = spec.strings("gateways").isEmpty || spec.strings("gateways").contains("mesh")
        let http = spec.children("http")
        if spec.isEmptyList("http"), spec.isEmptyList("tcp"), spec.isEmptyList("tls") {
            findings.error(spec.position, "spec", "nothing is routed: one of http, tcp or tls is required")
        }
        var catchAll: Int?
        for (index, route) in http.enumerated() {
            if let catchAll {
                findings.warn(
                    route.position, route.path, "never used: http[\(catchAll)] before it matches every request. Move it before that one.",
                    code: .unreachableRule)
            } else if route.children("match").isEmpty, !route.has("delegate") {
                // A delegate's own rules have conditions: what none of them takes goes on to the next.
                catchAll = index
            }
            check(route: route, isMesh: isMesh)
        }
        L4RouteChecks(findings: findings).check(l4RoutesOf: spec)
    }

    private func checkHosts(_ spec: NodeReader) {
        let hosts = spec.positionedStrings("hosts")
        let gateways = spec.strings("gateways")
        // Without hosts it is a delegate, which is used where its parent is and names no gateways.
        if spec.isEmptyList("hosts"), !gateways.isEmpty {
            findings.error(
                spec.position("hosts"), "spec.hosts", "hosts is required: list at least one. (A delegate has neither hosts nor gateways.)")
        }
        if spec.isEmptyList("hosts") {
            for kind in ["tcp", "tls"] where !spec.isEmptyList(kind) {
                findings.error(spec.position(kind), "spec.\(kind)", "a delegate (no hosts) has http rules only")
            }
        }
        NameChecks(findings: findings).check(gatewaysOf: spec)
        var seen = HostSet()
        for (host, position, path) in hosts {
            if host == "*", gateways.isEmpty || gateways.contains("mesh") {
                findings.error(position, path, "host \"*\" is not accepted for the gateway \"mesh\"; write the hosts, or *.example.com")
            } else if IPAddress.family(host) == nil, let problem = HostName.hostProblem(host, wildcard: true) {
                findings.error(position, path, "host \"\(host)\" \(problem)")
            } else {
                let name = host.lowercased()
                if seen.overlaps(name) {
                    findings.error(position, path, "host \"\(host)\" is listed twice, or under a wildcard that is listed too; keep one")
                }
                seen.insert(name)
            }
        }
    }

    private func check(route: NodeReader, isMesh: Bool) {
        checkAction(route)
        checkDestinations(route)
        for match in route.children("match") { check(match: match, isMesh: isMesh) }
        let rewrite = route.child("rewrite")
        if let headers = route.child("headers") { HeaderChecks(findings: findings).check(headerOperations: headers, rewrite: rewrite) }
        findings.duration(route, "timeout", zeroAllowed: true)
        if let retries = route.child("retries") { check(retries: retries) }
        if let fault = route.child("fault") { check(fault: fault) }
        checkMirrors(route)
        if let redirect = route.child("redirect") { check(redirect: redirect) }
        if let direct = route.child("directResponse") {
            if !direct.has("status") { findings.error(direct.position, direct.path, "status is required: 200 to 599") }
            findings.range(direct, "status", 200...599)
            if let body = direct.child("body"), let bytes = body.string("bytes"), Base64.decode(bytes) == nil {
                findings.error(body.position("bytes"), "\(body.path).bytes", "not base64")
            }
        }
        if let rewrite { check(rewrite: rewrite) }
        if let delegate = route.child("delegate") { findings.require(delegate, "name", "the VirtualService that takes over") }
        if let cors = route.child("corsPolicy") { HeaderChecks(findings: findings).check(corsPolicy: cors) }
    }

    private func check(rewrite: NodeReader) {
        let given = ["uri", "authority", "uriRegexRewrite"].filter { name in
            name == "uriRegexRewrite" ? rewrite.has(name) : rewrite.string(name)?.isEmpty == false
        }
        if given.isEmpty { findings.error(rewrite.position, rewrite.path, "one of uri, authority, uriRegexRewrite is required") }
        guard let regex = rewrite.child("uriRegexRewrite") else { return }
        if given.contains("uri") {
            findings.error(
                rewrite.position("uriRegexRewrite"), "\(rewrite.path).uriRegexRewrite",
                "uri and uriRegexRewrite exclude each other; keep one", code: .oneOf)
        }
        findings.require(regex, "match", "the RE2 expression for the part that is replaced")
        findings.require(regex, "rewrite", "what it is replaced by")
    }

    private func checkAction(_ route: NodeReader) {
        let actions = ["route", "redirect", "directResponse", "delegate"].filter { name in
            name == "route" ? !route.isEmptyList(name) : route.has(name)
        }
        if actions.isEmpty {
            findings.error(route.position, route.path, "one of route, redirect, directResponse or delegate is required")
        } else if actions.count > 1 {
            findings.error(
                route.position(actions[1]), "\(route.path).\(actions[1])",
                "\(actions.joined(separator: " and ")) exclude each other; keep one")
        }
        guard let action = actions.first, action == "redirect" || action == "directResponse" else { return }
        if route.has("rewrite") {
            findings.error(route.position("rewrite"), "\(route.path).rewrite", "rewrite cannot be combined with \(action)")
        }
        if route.has("fault"), action == "redirect" {
            findings.error(route.position("fault"), "\(route.path).fault", "fault cannot be combined with redirect")
        } else if route.has("fault") {
            // Istio refuses it; here a fault comes before everything else, which is what the two together say.
            findings.warn(
                route.position("fault"), "\(route.path).fault", "Istio refuses a fault beside directResponse; here the fault comes first")
        }
        for name in ["retries", "mirror", "mirrors"] where route.has(name) {
            findings.warn(route.position(name), "\(route.path).\(name)", "\(name) has no effect with \(action): nothing is sent upstream")
        }
    }

    /// Weights need not add up to 100: they are shares of their sum.
    func checkDestinations(_ route: NodeReader) {
        let destinations = route.children("route")
        var total: Int64 = 0
        for destination in destinations {
            let weight = destination.integer("weight") ?? 0
            if weight < 0 {
                findings.error(
                    destination.position("weight"), "\(destination.path).weight", "a weight must not be negative, got \(weight)",
                    code: .outOfRange)
            }
            total += max(0, min(weight, Int64(Int32.max)))
            if let headers = destination.child("headers") { HeaderChecks(findings: findings).check(headerOperations: headers) }
            guard let target = destination.child("destination") else {
                findings.error(destination.position, destination.path, "destination is required: {host: NAME}")
                continue
            }
            check(destination: target)
        }
        if destinations.count > 1, total == 0 {
            findings.error(
                destinations[0].position, "\(route.path).route",
                "the weights of \(destinations.count) destinations add up to 0: give each its share, for example 90 and 10")
        }
        if total > Int64(UInt32.max) {
            findings.error(
                destinations[0].position, "\(route.path).route", "the weights add up to \(total); at most \(UInt32.max)", code: .outOfRange)
        }
    }

    private func check(destination: NodeReader) {
        findings.require(destination, "host", "the service to send to")
        // A wildcard is a service by that name (`*.wikipedia.org`), which goes where the request was addressed.
        if destination.string("host") == "*" {
            findings.error(
                destination.position("host"), "\(destination.path).host",
                "host \"*\" is no service; write its name, or *.example.com as the ServiceEntry does")
        } else {
            findings.host(destination, "host", wildcard: true)
        }
        if let subset = destination.string("subset"), !subset.isEmpty, let problem = ObjectName.labelProblem(subset) {
            findings.error(destination.position("subset"), "\(destination.path).subset", "subset \"\(subset.prefix(64))\" \(problem)")
        }
        if let port = destination.child("port"), !port.has("number") {
            findings.error(port.position, port.path, "number is required: 1 to 65535")
        }
    }

    private func check(match: NodeReader, isMesh: Bool) {
        // An empty matcher asks for nothing, and an empty uri prefix begins every path.
        for name in ["uri", "scheme", "method", "authority"] {
            if let value = match.child(name) { checkOperands(value, emptyPrefix: name == "uri") }
        }
        HeaderChecks(findings: findings).check(matchedHeaders: match, isMesh: isMesh)
        NameChecks(findings: findings).check(labelsOf: match, "sourceLabels")
        L4RouteChecks(findings: findings).check(sourceNamespaceOf: match)
        NameChecks(findings: findings).check(gatewaysOf: match)
        for name in ["headers", "withoutHeaders"] {
            for (_, value) in match.entries(name) { checkOperands(value) }
        }
        for (key, value) in match.entries("queryParams") {
            if key.isEmpty { findings.error(value.position, value.path, "a query parameter needs a name") }
            checkOperands(value)
        }
        findings.range(match, "port", 0...65535)
        if match.bool("ignoreUriCase") == true, match.child("uri")?.has("regex") == true {
            findings.warn(
                match.position("ignoreUriCase"), "\(match.path).ignoreUriCase",
                "ignoreUriCase has no effect on a regex; begin the regex with (?i)")
        }
    }

    private func checkOperands(_ value: NodeReader, emptyPrefix: Bool = false) {
        if value.node.scalar != nil, !value.node.isNull { return }
        for operand in emptyPrefix ? ["regex"] : ["prefix", "regex"] where value.string(operand) == "" {
            findings.error(
                value.position(operand), "\(value.path).\(operand)",
                "\(operand) must not be empty; leave the matcher empty ({}) to require presence")
        }
        if let regex = value.string("regex"), regex.utf8.count > 1024 {
            findings.error(
                value.position("regex"), "\(value.path).regex", "the regex has \(regex.utf8.count) bytes; at most 1024 are accepted")
        }
    }

    private static let retryConditions: Set<String> = [
        "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited", "retriable-4xx", "refused-stream",
        "retriable-status-codes", "retriable-headers", "http3-post-connect-failure", "cancelled", "deadline-exceeded", "internal",
        "resource-exhausted", "unavailable",
    ]

    private func check(retries: NodeReader) {
        findings.range(retries, "attempts", 0...Int64(Int32.max))
        findings.duration(retries, "perTryTimeout", zeroAllowed: true)
        findings.duration(retries, "backoff", zeroAllowed: true)
        let others = ["perTryTimeout", "retryOn", "retryRemoteLocalities"].filter(retries.has)
        if retries.integer("attempts") ?? 0 == 0, !others.isEmpty {
            findings.error(
                retries.position("attempts"), "\(retries.path).attempts",
                "attempts \(retries.has("attempts") ? "0" : "is absent, which is 0: it") turns retries off, so "
                    + "\(others.joined(separator: " and ")) would have no effect. Write attempts: 2, or delete the others.")
        }
        for condition in (retries.string("retryOn") ?? "").split(separator: ",") {
            let name = condition.filter { !$0.isWhitespace }
            if name.isEmpty || Self.retryConditions.contains(name) { continue }
            if let status = UInt16(name), (100...599).contains(status) { continue }
            var text =
                "\"\(name.prefix(64))\" is not a retry condition; accepted: status codes and "
                    + "\(Self.retryConditions.sorted().joined(separator: ", "))"
            if let nearest = EditDistance.nearest(to: name, among: Self.retryConditions.sorted()) {
                text += ". Did you mean \(nearest)?"
            }
            findings.error(retries.position("retryOn"), "\(retries.path).retryOn", text, code: .unknownEnumValue)
        }
    }

    private func check(fault: NodeReader) {
        if let delay = fault.child("delay") {
            if !delay.has("fixedDelay"), !delay.has("exponentialDelay") {
                findings.warn(delay.position, delay.path, "without fixedDelay nothing is delayed")
            }
            findings.duration(delay, "fixedDelay", zeroAllowed: false)
            findings.range(delay, "percent", 0...100)
            if let percentage = delay.child("percentage") { findings.share(percentage, "value") }
        }
        if let abort = fault.child("abort") {
            if !abort.has("httpStatus"), !abort.has("grpcStatus"), !abort.has("http2Error") {
                findings.warn(abort.position, abort.path, "without httpStatus or grpcStatus nothing is aborted")
            }
            if abort.has("http2Error") {
                findings.error(
                    abort.position("http2Error"), "\(abort.path).http2Error",
                    "Istio refuses HTTP/2 errors as faults too; write httpStatus or grpcStatus")
            }
            findings.range(abort, "httpStatus", 200...599)
            if let percentage = abort.child("percentage") { findings.share(percentage, "value") }
        }
        if !fault.has("delay"), !fault.has("abort") { findings.error(fault.position, fault.path, "delay or abort is required") }
    }

    private func checkMirrors(_ route: NodeReader) {
        if route.has("mirror"), route.has("mirrors") {
            findings.error(route.position("mirror"), "\(route.path).mirror", "mirror and mirrors exclude each other; keep mirrors")
        }
        if let mirror = route.child("mirror") { check(destination: mirror) }
        for mirror in route.children("mirrors") {
            if let destination = mirror.child("destination") {
                check(destination: destination)
            } else {
                findings.error(mirror.position, mirror.path, "destination is required")
            }
            if let percentage = mirror.child("percentage") { findings.percent(percentage, "value") }
        }
        findings.range(route, "mirrorPercent", 0...100)
        if let percentage = route.child("mirrorPercentage") { findings.percent(percentage, "value") }
    }

    private func check(redirect: NodeReader) {
        // 0 is how protobuf says absent.
        if let code = redirect.integer("redirectCode"), ![0, 301, 302, 303, 307, 308].contains(code) {
            findings.error(
                redirect.position("redirectCode"), "\(redirect.path).redirectCode",
                "\(code) is not accepted; one of 301, 302, 303, 307, 308",
                code: .outOfRange)
        }
        findings.range(redirect, "port", 0...65535)
        if let scheme = redirect.string("scheme"), scheme != "http", scheme != "https" {
            findings.error(redirect.position("scheme"), "\(redirect.path).scheme", "\"\(scheme)\" is not accepted; http or https")
        }
        if !["uri", "authority", "scheme", "port", "derivePort"].contains(where: redirect.has) {
            findings.error(redirect.position, redirect.path, "one of uri, authority, port, derivePort or scheme is required")
        }
    }
}
