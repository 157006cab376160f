/// Istio's rules across the fields of telemetry, mesh and security resources.
extension Findings {
    mutating func check(telemetry spec: NodeReader) {
        for tracing in spec.children("tracing") {
            percent(tracing, "randomSamplingPercentage")
            let providers = tracing.children("providers")
            if providers.count > 1 { error(providers[1].position, providers[1].path, "tracing takes one provider at most") }
            for provider in providers { require(provider, "name", "a name from extensionProviders") }
            for (_, tag) in tracing.entries("customTags") where !["literal", "environment", "header", "formatter"].contains(where: tag.has) {
                error(tag.position, tag.path, "one of literal, environment, header or formatter is required")
            }
        }
        for section in ["accessLogging", "metrics"] {
            for entry in spec.children(section) {
                for provider in entry.children("providers") { require(provider, "name", "a name from extensionProviders, or envoy") }
            }
        }
        for metrics in spec.children("metrics") {
            duration(metrics, "reportingInterval", zeroAllowed: true)
            for override in metrics.children("overrides") {
                for (_, tag) in override.entries("tagOverrides") {
                    if tag.name("operation") == "REMOVE", tag.string("value")?.isEmpty == false {
                        error(tag.position("value"), "\(tag.path).value", "must not be set with operation REMOVE")
                    } else if tag.name("operation") != "REMOVE", tag.string("value")?.isEmpty ?? true {
                        error(tag.position, tag.path, "value is required with operation UPSERT")
                    }
                }
            }
        }
    }

    mutating func check(meshConfig mesh: NodeReader) {
        var names: Set<String> = []
        for provider in mesh.children("extensionProviders") {
            require(provider, "name", "Telemetry and defaultProviders refer to it")
            if let name = provider.string("name"), !names.insert(name).inserted {
                error(provider.position("name"), "\(provider.path).name", "provider \"\(name)\" is defined twice")
            }
            check(provider: provider)
        }
        for (kind, builtIn) in [("tracing", [String]()), ("accessLogging", ["envoy"]), ("metrics", ["prometheus"])] {
            guard let defaults = mesh.child("defaultProviders") else { continue }
            let given = defaults.positionedStrings(kind)
            if kind == "tracing", given.count > 1 { error(given[1].position, given[1].path, "tracing takes one provider at most") }
            for (name, position, path) in given where !names.contains(name) && !builtIn.contains(name) {
                let known = (names.sorted() + builtIn).joined(separator: ", ")
                error(position, path, "provider \"\(name)\" is not in extensionProviders (\(known.isEmpty ? "none are defined" : known))", code: .referenceNotFound)
            }
        }
        if let tracing = mesh.child("defaultConfig")?.child("tracing") {
            percent(tracing, "sampling")
            if let zipkin = tracing.child("zipkin"), let address = zipkin.string("address"), !Findings.isHostPort(address) {
                error(zipkin.position("address"), "\(zipkin.path).address", "\"\(address)\" is not HOST:PORT")
            }
        }
        for name in ["proxyListenPort", "proxyHttpPort", "proxyInboundListenPort"] { range(mesh, name, 0...65535) }
        for name in ["connectTimeout", "protocolDetectionTimeout"] { duration(mesh, name, zeroAllowed: true) }
        if let domain = mesh.string("trustDomain"), let problem = HostName.problem(domain, wildcard: false) {
            error(mesh.position("trustDomain"), "\(mesh.path).trustDomain", "trust domain \"\(domain)\" \(problem)")
        }
        if let namespace = mesh.string("rootNamespace"), let problem = HostName.problem(namespace, wildcard: false) {
            error(mesh.position("rootNamespace"), "\(mesh.path).rootNamespace", "namespace \"\(namespace)\" \(problem)")
        }
    }

    private mutating func check(provider: NodeReader) {
        let kinds = Schema.istio.messages["ExtensionProvider"]?.oneOfs.first ?? []
        guard let kind = kinds.first(where: provider.has) else {
            error(provider.position, provider.path, "one of \(kinds.joined(separator: ", ")) is required")
            return
        }
        guard let settings = provider.child(kind) else { return }
        if ["zipkin", "opentelemetry", "lightstep", "datadog", "skywalking", "envoyExtAuthzHttp", "envoyExtAuthzGrpc"].contains(kind) {
            require(settings, "service", "HOST or NAMESPACE/HOST")
            if !settings.has("port") { error(settings.position, settings.path, "port is required: 1 to 65535") }
            range(settings, "port", 1...65535)
            if let service = settings.string("service"), !service.isEmpty {
                let host = service.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).last.map(String.init) ?? ""
                if IPAddress.family(host) == nil, let problem = HostName.problem(host, wildcard: false) {
                    error(settings.position("service"), "\(settings.path).service", "host \"\(host)\" \(problem)")
                }
            }
        }
        if let path = settings.string("path"), kind == "zipkin", !path.hasPrefix("/") {
            error(settings.position("path"), "\(settings.path).path", "\"\(path)\" must begin with /")
        }
        if let format = settings.child("logFormat"), format.has("labels"), format.node("labels")?.pairs == nil {
            error(format.position("labels"), "\(format.path).labels", "expected a mapping of keys to format strings", code: .wrongType)
        }
        for pair in settings.child("logFormat")?.child("labels")?.node.pairs ?? [] where pair.value.scalar == nil {
            add(
                .notice, .notYetInEffect, SourcePosition(file: settings.file, line: pair.keyLine, column: pair.keyColumn),
                "\(settings.path).logFormat.labels", "\"\(pair.key.prefix(64))\": nested values are accepted, not yet in effect; the key is left out")
        }
        if let http = settings.child("http"), let path = http.string("path"), !path.hasPrefix("/") {
            error(http.position("path"), "\(http.path).path", "\"\(path)\" must begin with /")
        }
    }

    static func isHostPort(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return false }
        let host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { return IPAddress.family(String(host.dropFirst().dropLast())) == .v6 }
        // Istio's charts leave variables such as $(HOST_IP) in addresses.
        return host.hasPrefix("$(") || HostName.problem(host, wildcard: false) == nil
    }

    mutating func check(peerAuthentication spec: NodeReader) {
        guard spec.has("portLevelMtls") else { return }
        if spec.child("selector")?.stringMap("matchLabels").isEmpty ?? true {
            error(spec.position("portLevelMtls"), "spec.portLevelMtls", "portLevelMtls needs a selector")
        }
        if spec.entries("portLevelMtls").isEmpty { error(spec.position("portLevelMtls"), "spec.portLevelMtls", "portLevelMtls must not be empty") }
    }

    mutating func check(authorizationPolicy spec: NodeReader) {
        let isCustom = spec.name("action") == "CUSTOM"
        if isCustom, spec.child("provider")?.string("name")?.isEmpty ?? true {
            error(spec.position("action"), "spec.provider", "action CUSTOM needs provider: {name: NAME}")
        }
        if !isCustom, spec.has("provider") { error(spec.position("provider"), "spec.provider", "provider needs action: CUSTOM") }
        for rule in spec.children("rules") {
            for from in rule.children("from") where from.child("source")?.node.pairs?.isEmpty ?? true {
                error(from.position, from.path, "source is required and must have a field")
            }
            for to in rule.children("to") where to.child("operation")?.node.pairs?.isEmpty ?? true {
                error(to.position, to.path, "operation is required and must have a field")
            }
            for source in rule.children("from").compactMap({ $0.child("source") }) {
                for name in ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"] {
                    for (text, position, path) in source.positionedStrings(name) where IPAddress.family(text) == nil && !IPAddress.isPrefix(text) {
                        error(position, path, "\"\(text)\" is neither an IP address nor a CIDR prefix")
                    }
                }
                if source.has("serviceAccounts"), source.has("principals") || source.has("namespaces") {
                    error(source.position("serviceAccounts"), "\(source.path).serviceAccounts", "serviceAccounts cannot be combined with principals or namespaces")
                }
            }
            for operation in rule.children("to").compactMap({ $0.child("operation") }) {
                for (text, position, path) in operation.positionedStrings("ports") where UInt16(text).map({ $0 > 0 }) != true {
                    error(position, path, "\"\(text)\" is not a port number, \"1\" to \"65535\"")
                }
            }
            for condition in rule.children("when") {
                require(condition, "key", "for example request.headers[x-token]")
                if condition.strings("values").isEmpty, condition.strings("notValues").isEmpty {
                    error(condition.position, condition.path, "values or notValues is required")
                }
            }
        }
    }

    mutating func check(requestAuthentication spec: NodeReader) {
        for rule in spec.children("jwtRules") {
            require(rule, "issuer", "the iss claim of the tokens")
            if rule.has("jwks"), rule.has("jwksUri") { error(rule.position("jwks"), "\(rule.path).jwks", "jwks and jwksUri exclude each other; keep one") }
            if let uri = rule.string("jwksUri"), !uri.hasPrefix("https://"), !uri.hasPrefix("http://") {
                error(rule.position("jwksUri"), "\(rule.path).jwksUri", "\"\(uri)\" must begin with https:// or http://")
            }
            duration(rule, "timeout", zeroAllowed: false)
        }
    }

    mutating func check(gateway spec: NodeReader) {
        if spec.isEmptyList("servers") { error(spec.position, "spec.servers", "servers is required: list at least one") }
        for server in spec.children("servers") {
            if server.isEmptyList("hosts") { error(server.position, "\(server.path).hosts", "hosts is required: list at least one") }
            guard let port = server.child("port") else {
                error(server.position, server.path, "port is required: {number, name, protocol}")
                continue
            }
            if let bind = server.string("bind"), bind.hasPrefix(UnixAddress.prefix) {
                if let problem = UnixAddress.problem(bind) { error(server.position("bind"), "\(server.path).bind", problem) }
                check(numberOfSocket: port)
            } else {
                if !port.has("number") { error(port.position, port.path, "number is required: 1 to 65535") }
                range(port, "number", 1...65535)
            }
            check(protocolOf: port)
            for (text, position, path) in server.positionedStrings("hosts") {
                guard let scope = Gateway.HostScope(text: text) else {
                    error(position, path, "\"\(text)\" is neither HOST nor NAMESPACE/HOST")
                    continue
                }
                if let problem = HostName.problem(scope.host, wildcard: true) { error(position, path, "host \"\(scope.host)\" \(problem)") }
            }
            check(gatewayTLS: server, port)
        }
    }

    /// What `tls` of a Gateway's server must have and what of it has no effect yet.
    private mutating func check(gatewayTLS server: NodeReader, _ port: NodeReader) {
        let spoken = (port.string("protocol") ?? "").uppercased()
        let needsTLS = spoken == "HTTPS" || spoken == "TLS"
        guard let tls = server.child("tls") else {
            if needsTLS { error(server.position, "\(server.path).tls", "tls is required for protocol \(spoken); for example {mode: PASSTHROUGH}") }
            return
        }
        if !needsTLS, tls.has("mode") {
            warn(tls.position("mode"), "\(tls.path).mode", "has no effect on a port of protocol \(spoken.isEmpty ? "HTTP" : spoken), which is not TLS")
        } else if needsTLS, tls.name("mode") ?? "PASSTHROUGH" != "PASSTHROUGH" {
            add(
                .notice, .notYetInEffect, tls.position("mode"), "\(tls.path).mode",
                "TLS of a gateway's own is accepted, not yet in effect: nothing listens on this port. PASSTHROUGH is in effect.")
        }
    }
}
