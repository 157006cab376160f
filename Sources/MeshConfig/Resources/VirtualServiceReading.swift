extension VirtualService {
    init(id: ResourceID, position: SourcePosition, spec: NodeReader) {
        let gateways = spec.strings("gateways")
        self.init(
            id: id, position: position, hosts: spec.strings("hosts"),
            gateways: gateways.isEmpty ? ["mesh"] : gateways.map { Gateway.resolve($0, namespace: id.namespace) },
            http: spec.children("http").map(HTTPRoute.init(reader:)),
            l4: spec.children("tls").map { L4Route(reader: $0, isTLS: true) }
                + spec.children("tcp").map { L4Route(reader: $0, isTLS: false) },
            exportTo: spec.strings("exportTo"))
        func resolve(_ names: inout [String]) {
            for index in names.indices { names[index] = Gateway.resolve(names[index], namespace: id.namespace) }
        }
        for route in http.indices {
            for match in http[route].matches.indices { resolve(&http[route].matches[match].gateways) }
        }
        for route in l4.indices {
            for match in l4[route].matches.indices { resolve(&l4[route].matches[match].gateways) }
        }
    }
}

extension HTTPRoute {
    init(reader: NodeReader) {
        self.init(
            position: reader.position, name: reader.string("name") ?? "",
            matches: reader.children("match").map(HTTPMatchRequest.init(reader:)),
            destinations: reader.children("route").map(HTTPRouteDestination.init(reader:)),
            timeoutNanoseconds: reader.nanoseconds("timeout"), redirect: reader.child("redirect").map(HTTPRedirect.init(reader:)),
            directResponse: reader.child("directResponse").map(HTTPDirectResponse.init(reader:)),
            rewrite: reader.child("rewrite").map(HTTPRewrite.init(reader:)),
            retries: reader.child("retries").map(HTTPRetry.init(reader:)),
            fault: reader.child("fault").map(HTTPFaultInjection.init(reader:)), mirrors: HTTPMirror.all(of: reader),
            headers: reader.child("headers").map(HeaderOperations.init(reader:)),
            corsPolicy: reader.child("corsPolicy").map(CORSPolicy.init(reader:)),
            delegate: reader.child("delegate").map {
                ResourceID(kind: "VirtualService", namespace: $0.string("namespace") ?? "", name: $0.string("name") ?? "")
            })
    }
}

extension HTTPRouteDestination {
    init(reader: NodeReader) {
        self.init(
            position: reader.position, destination: Destination(reader: reader.child("destination"), parent: reader),
            weight: reader.uint32("weight") ?? 0, headers: reader.child("headers").map(HeaderOperations.init(reader:)))
    }
}

extension Destination {
    init(reader: NodeReader?, parent: NodeReader) {
        self.init(
            position: reader?.position ?? parent.position, host: reader?.string("host") ?? "",
            subset: reader?.string("subset") ?? "", port: reader?.child("port")?.port("number"))
    }
}

extension HTTPMatchRequest {
    init(reader: NodeReader) {
        self.init(
            position: reader.position, name: reader.string("name") ?? "", uri: StringMatch(reader.child("uri")),
            scheme: StringMatch(reader.child("scheme")), method: StringMatch(reader.child("method")),
            authority: StringMatch(reader.child("authority")),
            headers: reader.namedMatches("headers", lowercased: true),
            withoutHeaders: reader.namedMatches("withoutHeaders", lowercased: true).map(\.orAbsent),
            queryParameters: reader.namedMatches("queryParams", lowercased: false),
            ignoreURICase: reader.bool("ignoreUriCase") ?? false, port: reader.port("port").flatMap { $0 == 0 ? nil : $0 },
            sourceLabels: reader.stringMap("sourceLabels"), sourceNamespace: reader.string("sourceNamespace") ?? "",
            gateways: reader.strings("gateways"), statPrefix: reader.string("statPrefix") ?? "")
    }
}

extension StringMatch {
    /// An empty mapping is presence; so is one whose operand had a wrong type (reported by the schema).
    init?(_ reader: NodeReader?) {
        guard let reader else { return nil }
        self = StringMatch(presence: reader)
    }

    init(presence reader: NodeReader) {
        if let text = reader.string("exact") {
            self.init(condition: .exact(text), position: reader.position("exact"), field: reader.path + ".exact")
        } else if let text = reader.string("prefix") {
            self.init(condition: .prefix(text), position: reader.position("prefix"), field: reader.path + ".prefix")
        } else if let text = reader.string("regex") {
            self.init(condition: .regex(text), position: reader.position("regex"), field: reader.path + ".regex")
        } else {
            self.init(condition: .present, position: reader.position, field: reader.path)
        }
    }
}

extension NamedStringMatch {
    /// Without a field that matches `*`, which is no expression of RE2, is without the field: istiod reads it so.
    fileprivate var orAbsent: NamedStringMatch {
        guard case .regex("*") = match.condition else { return self }
        return NamedStringMatch(name: name, match: StringMatch(condition: .present, position: match.position, field: match.field))
    }
}

extension NodeReader {
    fileprivate func namedMatches(_ name: String, lowercased: Bool) -> [NamedStringMatch] {
        entries(name).map {
            // Names of claims are no header names: their case counts.
            let isClaim = $0.key.hasPrefix("@")
            return NamedStringMatch(
                name: lowercased && !isClaim ? $0.key.lowercased() : $0.key, match: StringMatch(presence: $0.reader))
        }
    }
}

extension HTTPRedirect {
    init(reader: NodeReader) {
        let derived: Port? =
            switch reader.name("derivePort") {
            case "FROM_PROTOCOL_DEFAULT": .fromProtocolDefault
            case "FROM_REQUEST_PORT": .fromRequestPort
            default: nil
            }
        self.init(
            uri: reader.string("uri") ?? "", authority: reader.string("authority") ?? "", scheme: reader.string("scheme") ?? "",
            port: reader.port("port").flatMap { $0 == 0 ? nil : .number($0) } ?? derived,
            redirectCode: reader.port("redirectCode").flatMap { $0 == 0 ? nil : $0 } ?? 301)
    }
}

extension HTTPDirectResponse {
    init(reader: NodeReader) {
        let body = reader.child("body")
        let bytes = body?.string("bytes").flatMap(Base64.decode).map { Body.bytes($0) }
        self.init(status: reader.port("status") ?? 0, body: body?.string("string").map { .string($0) } ?? bytes)
    }
}

extension HTTPRewrite {
    init(reader: NodeReader) {
        let regex = reader.child("uriRegexRewrite")
        self.init(
            uri: reader.string("uri") ?? "", authority: reader.string("authority") ?? "",
            uriRegex: regex.map { ($0.string("match") ?? "", $0.string("rewrite") ?? "") },
            position: regex?.position("match") ?? reader.position)
    }
}

extension HTTPRetry {
    init(reader: NodeReader) {
        let conditions = (reader.string("retryOn") ?? "").split(separator: ",").map {
            String($0.filter { !$0.isWhitespace })
        }
        self.init(
            position: reader.position, retryOnPosition: reader.position("retryOn"), attempts: reader.uint32("attempts"),
            perTryTimeoutNanoseconds: reader.nanoseconds("perTryTimeout"), retryOn: conditions.filter { !$0.isEmpty },
            retryRemoteLocalities: reader.bool("retryRemoteLocalities"),
            retryIgnorePreviousHosts: reader.bool("retryIgnorePreviousHosts"), backoffNanoseconds: reader.nanoseconds("backoff"))
    }
}

extension HTTPFaultInjection {
    init(reader: NodeReader) {
        // One that says neither how long nor which status does nothing (a warning says so).
        delay = reader.child("delay").flatMap { entry in
            (entry.nanoseconds("fixedDelay") ?? entry.nanoseconds("exponentialDelay")).map {
                Delay(
                    fixedDelayNanoseconds: $0,
                    percentage: entry.child("percentage").map { $0.double("value") ?? 0 } ?? entry.double("percent") ?? 0)
            }
        }
        abort = reader.child("abort").flatMap { entry in
            let status = entry.port("httpStatus").map { Abort.Error.httpStatus($0) }
            return (status ?? entry.string("grpcStatus").map { .grpcStatus($0) }).map {
                Abort(
                    error: $0, errorPosition: entry.position(status == nil ? "grpcStatus" : "httpStatus"),
                    percentage: entry.child("percentage")?.double("value") ?? 0)
            }
        }
    }
}

extension HTTPMirror {
    static func all(of route: NodeReader) -> [HTTPMirror] {
        var mirrors = route.children("mirrors").map {
            HTTPMirror(
                destination: Destination(reader: $0.child("destination"), parent: $0),
                percentage: $0.child("percentage").map { $0.double("value") ?? 0 } ?? 100)
        }
        if let single = route.child("mirror") {
            let percentage = route.child("mirrorPercentage").map { $0.double("value") ?? 0 } ?? route.double("mirrorPercent")
            mirrors.append(HTTPMirror(destination: Destination(reader: single, parent: route), percentage: percentage ?? 100))
        }
        return mirrors
    }
}

extension HeaderOperations {
    init(reader: NodeReader) {
        request = reader.child("request").map(Operations.init(reader:))
        response = reader.child("response").map(Operations.init(reader:))
    }
}

extension HeaderOperations.Operations {
    init(reader: NodeReader) {
        self.init(set: reader.stringPairs("set"), add: reader.stringPairs("add"), remove: reader.strings("remove"))
    }
}

extension CORSPolicy {
    init(reader: NodeReader) {
        let modern = reader.children("allowOrigins").map(StringMatch.init(presence:))
        let old = reader.positionedStrings("allowOrigin").map {
            StringMatch(condition: $0.text == "*" ? .regex(".*") : .exact($0.text), position: $0.position, field: $0.path)
        }
        self.init(
            allowOrigins: modern.isEmpty ? old : modern, allowMethods: reader.strings("allowMethods"),
            allowHeaders: reader.strings("allowHeaders"), exposeHeaders: reader.strings("exposeHeaders"),
            maxAgeNanoseconds: reader.nanoseconds("maxAge"), allowCredentials: reader.bool("allowCredentials"),
            ignoresUnmatchedPreflights: reader.name("unmatchedPreflights") == "IGNORE")
    }
}

/// RFC 4648 section 4 and 5 alphabets, padding optional (protobuf JSON accepts both).
enum Base64 {
    static func decode(_ text: String) -> [UInt8]? {
        var bits: UInt32 = 0
        var count = 0
        var result: [UInt8] = []
        var padding = 0
        for byte in text.utf8 {
            let value: UInt8
            switch byte {
            case 0x41...0x5a: value = byte &- 0x41
            case 0x61...0x7a: value = byte &- 0x61 &+ 26
            case 0x30...0x39: value = byte &- 0x30 &+ 52
            case UInt8(ascii: "+"), UInt8(ascii: "-"): value = 62
            case UInt8(ascii: "/"), UInt8(ascii: "_"): value = 63
            case UInt8(ascii: "="):
                padding += 1
                continue
            default: return nil
            }
            guard padding == 0 else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                result.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return padding <= 2 && count < 6 ? result : nil
    }
}
