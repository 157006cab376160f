/// Istio's rules across the fields of a VirtualService.
extension Findings {
    mutating func check(virtualService spec: NodeReader) {
        checkHosts(spec)
        let http = spec.children("http")
        if spec.isEmptyList("http"), spec.isEmptyList("tcp"), spec.isEmptyList("tls") {
            error(spec.position, "spec", "nothing is routed: one of http, tcp or tls is required")
        }
        var catchAll: Int?
        for (index, route) in http.enumerated() {
            if let catchAll {
                warn(
                    route.position, route.path, "never used: http[\(catchAll)] before it matches every request. Move it before that one.",
                    code: .unreachableRule)
            } else if route.children("match").isEmpty, !route.has("delegate") {
                // A delegate's own rules have conditions: what none of them takes goes on to the next.
                catchAll = index
            }
            check(route: route)
        }
        for kind in ["tcp", "tls"] {
            for route in spec.children(kind) {
                if route.isEmptyList("route") { error(route.position, route.path, "route is required: list at least one destination") }
                checkDestinations(route)
                for match in route.children("match") {
                    range(match, "port", 1...65535)
                    if kind == "tls", match.strings("sniHosts").isEmpty {
                        error(match.position, match.path, "sniHosts is required: list at least one server name")
                    }
                }
            }
        }
    }

    private mutating func checkHosts(_ spec: NodeReader) {
        let hosts = spec.positionedStrings("hosts")
        let gateways = spec.strings("gateways")
        // Without hosts it is a delegate, which is used where its parent is and names no gateways.
        if spec.isEmptyList("hosts"), !gateways.isEmpty {
            error(spec.position("hosts"), "spec.hosts", "hosts is required: list at least one. (A delegate has neither hosts nor gateways.)")
        }
        var seen: Set<String> = []
        for (host, position, path) in hosts {
            if !seen.insert(host.lowercased()).inserted { error(position, path, "host \"\(host)\" is listed twice") }
            if host == "*", gateways.isEmpty || gateways.contains("mesh") {
                error(position, path, "host \"*\" is not accepted for the gateway \"mesh\"; write the hosts, or *.example.com")
            } else if IPAddress.family(host) == nil, !IPAddress.isPrefix(host), let problem = HostName.problem(host, wildcard: true) {
                error(position, path, "host \"\(host)\" \(problem)")
            }
        }
    }

    private mutating func check(route: NodeReader) {
        checkAction(route)
        checkDestinations(route)
        for match in route.children("match") { check(match: match) }
        duration(route, "timeout", zeroAllowed: true)
        if let retries = route.child("retries") { check(retries: retries) }
        if let fault = route.child("fault") { check(fault: fault) }
        checkMirrors(route)
        if let redirect = route.child("redirect") { check(redirect: redirect) }
        if let direct = route.child("directResponse") {
            if !direct.has("status") { error(direct.position, direct.path, "status is required: 200 to 599") }
            range(direct, "status", 200...599)
            if let body = direct.child("body"), let bytes = body.string("bytes"), Base64.decode(bytes) == nil {
                error(body.position("bytes"), "\(body.path).bytes", "not base64")
            }
        }
        if let rewrite = route.child("rewrite"), !rewrite.has("uri"), !rewrite.has("authority"), !rewrite.has("uriRegexRewrite") {
            error(rewrite.position, rewrite.path, "one of uri, authority, uriRegexRewrite is required")
        }
        if let delegate = route.child("delegate") { require(delegate, "name", "the VirtualService that takes over") }
        if let cors = route.child("corsPolicy") {
            duration(cors, "maxAge", zeroAllowed: true)
            if cors.has("allowOrigin"), cors.has("allowOrigins") {
                error(cors.position("allowOrigin"), "\(cors.path).allowOrigin", "allowOrigin and allowOrigins exclude each other; keep allowOrigins")
            }
        }
    }

    private mutating func checkAction(_ route: NodeReader) {
        let actions = ["route", "redirect", "directResponse", "delegate"].filter { name in
            name == "route" ? !route.isEmptyList(name) : route.has(name)
        }
        if actions.isEmpty {
            error(route.position, route.path, "one of route, redirect, directResponse or delegate is required")
        } else if actions.count > 1 {
            error(route.position(actions[1]), "\(route.path).\(actions[1])", "\(actions.joined(separator: " and ")) exclude each other; keep one")
        }
        guard actions.first == "redirect" || actions.first == "directResponse" else { return }
        for name in ["rewrite", "retries", "fault", "mirror", "mirrors"] where route.has(name) {
            if name == "fault" && actions.first == "directResponse" { continue }
            error(route.position(name), "\(route.path).\(name)", "\(name) cannot be combined with \(actions[0])")
        }
    }

    /// Weights need not add up to 100: they are shares of their sum.
    private mutating func checkDestinations(_ route: NodeReader) {
        let destinations = route.children("route")
        var total: Int64 = 0
        for destination in destinations {
            let weight = destination.integer("weight") ?? 0
            if weight < 0 {
                error(destination.position("weight"), "\(destination.path).weight", "a weight must not be negative, got \(weight)", code: .outOfRange)
            }
            total += max(0, min(weight, Int64(Int32.max)))
            guard let target = destination.child("destination") else {
                error(destination.position, destination.path, "destination is required: {host: NAME}")
                continue
            }
            check(destination: target)
        }
        if destinations.count > 1, total == 0 {
            error(
                destinations[0].position, "\(route.path).route",
                "the weights of \(destinations.count) destinations add up to 0: give each its share, for example 90 and 10")
        }
        if total > Int64(UInt32.max) {
            error(destinations[0].position, "\(route.path).route", "the weights add up to \(total); at most \(UInt32.max)", code: .outOfRange)
        }
    }

    private mutating func check(destination: NodeReader) {
        require(destination, "host", "the service to send to")
        host(destination, "host", wildcard: false)
        if let port = destination.child("port"), !port.has("number") {
            error(port.position, port.path, "number is required: 1 to 65535")
        }
    }

    private mutating func check(match: NodeReader) {
        for name in ["uri", "scheme", "method", "authority"] {
            guard let value = match.child(name) else { continue }
            let operands = ["exact", "prefix", "regex"].filter(value.has)
            if operands.isEmpty, value.node.pairs?.isEmpty ?? true {
                error(value.position, value.path, "one of exact, prefix or regex is required")
            }
            checkOperands(value)
        }
        for name in ["headers", "withoutHeaders"] {
            for (key, value) in match.entries(name) {
                if let problem = headerNameProblem(key) { error(value.position, value.path, "header name \"\(key)\" \(problem)") }
                checkOperands(value)
            }
        }
        for (key, value) in match.entries("queryParams") {
            if key.isEmpty { error(value.position, value.path, "a query parameter needs a name") }
            checkOperands(value)
        }
        range(match, "port", 1...65535)
        if match.bool("ignoreUriCase") == true, match.child("uri")?.has("regex") == true {
            warn(
                match.position("ignoreUriCase"), "\(match.path).ignoreUriCase",
                "ignoreUriCase has no effect on a regex; begin the regex with (?i)")
        }
    }

    private mutating func checkOperands(_ value: NodeReader) {
        if value.node.scalar != nil, !value.node.isNull { return }
        for operand in ["prefix", "regex"] where value.string(operand) == "" {
            error(value.position(operand), "\(value.path).\(operand)", "\(operand) must not be empty; leave the matcher empty ({}) to require presence")
        }
        if let regex = value.string("regex"), regex.utf8.count > 1024 {
            error(value.position("regex"), "\(value.path).regex", "the regex has \(regex.utf8.count) bytes; at most 1024 are accepted")
        }
    }

    private func headerNameProblem(_ name: String) -> String? {
        if name.isEmpty { return "is empty" }
        var bytes = Array(name.utf8)
        if bytes.first == UInt8(ascii: ":") {
            return [":authority", ":method", ":path", ":scheme"].contains(name) ? nil : "is not a header; match uri, method, scheme or authority"
        }
        let extra = Array("!#$%&'*+-.^_`|~".utf8)
        bytes.removeAll {
            (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || extra.contains($0)
        }
        return bytes.isEmpty ? nil : "has characters that header names cannot have (RFC 9110 section 5.1)"
    }

    private static let retryConditions: Set<String> = [
        "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited", "retriable-4xx", "refused-stream",
        "retriable-status-codes", "retriable-headers", "http3-post-connect-failure", "cancelled", "deadline-exceeded", "internal",
        "resource-exhausted", "unavailable",
    ]

    private mutating func check(retries: NodeReader) {
        range(retries, "attempts", 0...Int64(Int32.max))
        duration(retries, "perTryTimeout", zeroAllowed: true)
        duration(retries, "backoff", zeroAllowed: true)
        if retries.integer("attempts") == 0, retries.has("perTryTimeout") || retries.has("retryOn") {
            warn(retries.position("attempts"), "\(retries.path).attempts", "attempts: 0 turns retries off, so the other fields have no effect")
        }
        for condition in (retries.string("retryOn") ?? "").split(separator: ",") {
            let name = condition.filter { !$0.isWhitespace }
            if name.isEmpty || Findings.retryConditions.contains(name) { continue }
            if let status = UInt16(name), (100...599).contains(status) { continue }
            var text = "\"\(name.prefix(64))\" is not a retry condition; accepted: status codes and \(Findings.retryConditions.sorted().joined(separator: ", "))"
            if let nearest = EditDistance.nearest(to: name, among: Findings.retryConditions.sorted()) { text += ". Did you mean \(nearest)?" }
            error(retries.position("retryOn"), "\(retries.path).retryOn", text, code: .unknownEnumValue)
        }
    }

    private mutating func check(fault: NodeReader) {
        if let delay = fault.child("delay") {
            if !delay.has("fixedDelay"), !delay.has("exponentialDelay") { error(delay.position, delay.path, "fixedDelay is required") }
            duration(delay, "fixedDelay", zeroAllowed: false)
            range(delay, "percent", 0...100)
            if let percentage = delay.child("percentage") { percent(percentage, "value") }
        }
        if let abort = fault.child("abort") {
            if !abort.has("httpStatus"), !abort.has("grpcStatus"), !abort.has("http2Error") {
                error(abort.position, abort.path, "httpStatus or grpcStatus is required")
            }
            if abort.has("http2Error") {
                error(abort.position("http2Error"), "\(abort.path).http2Error", "Istio refuses HTTP/2 errors as faults too; write httpStatus or grpcStatus")
            }
            range(abort, "httpStatus", 200...599)
            if let percentage = abort.child("percentage") { percent(percentage, "value") }
        }
        if !fault.has("delay"), !fault.has("abort") { error(fault.position, fault.path, "delay or abort is required") }
    }

    private mutating func checkMirrors(_ route: NodeReader) {
        if route.has("mirror"), route.has("mirrors") {
            error(route.position("mirror"), "\(route.path).mirror", "mirror and mirrors exclude each other; keep mirrors")
        }
        if let mirror = route.child("mirror") { check(destination: mirror) }
        for mirror in route.children("mirrors") {
            if let destination = mirror.child("destination") {
                check(destination: destination)
            } else {
                error(mirror.position, mirror.path, "destination is required")
            }
            if let percentage = mirror.child("percentage") { percent(percentage, "value") }
        }
        range(route, "mirrorPercent", 0...100)
        if let percentage = route.child("mirrorPercentage") { percent(percentage, "value") }
    }

    private mutating func check(redirect: NodeReader) {
        if let code = redirect.integer("redirectCode"), ![301, 302, 303, 307, 308].contains(code) {
            error(
                redirect.position("redirectCode"), "\(redirect.path).redirectCode", "\(code) is not accepted; one of 301, 302, 303, 307, 308",
                code: .outOfRange)
        }
        range(redirect, "port", 1...65535)
        if let scheme = redirect.string("scheme"), scheme != "http", scheme != "https" {
            error(redirect.position("scheme"), "\(redirect.path).scheme", "\"\(scheme)\" is not accepted; http or https")
        }
        if !["uri", "authority", "scheme", "port", "derivePort"].contains(where: redirect.has) {
            error(redirect.position, redirect.path, "one of uri, authority, port, derivePort or scheme is required")
        }
    }
}
