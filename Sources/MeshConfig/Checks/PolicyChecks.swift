/// Istio's rules across the fields of Telemetry and of the mesh's settings.
struct PolicyChecks {
    let findings: Findings

    func check(telemetry spec: NodeReader) {
        NameChecks(findings: findings).check(attachmentOf: spec)
        let tracings = spec.children("tracing")
        if tracings.count > 1 { findings.warn(tracings[1].position, tracings[1].path, "tracing takes one entry; the first is used") }
        for tracing in tracings {
            findings.percent(tracing, "randomSamplingPercentage")
            let providers = tracing.children("providers")
            if providers.count > 1 {
                findings.warn(providers[1].position, providers[1].path, "tracing takes one provider; the first is used")
            }
            for provider in providers { findings.require(provider, "name", "a name from extensionProviders") }
            for (name, tag) in tracing.entries("customTags") { check(customTag: tag, name) }
        }
        for section in ["accessLogging", "metrics"] {
            for entry in spec.children(section) {
                for provider in entry.children("providers") {
                    findings.require(provider, "name", "a name from extensionProviders, or envoy")
                }
            }
        }
        for metrics in spec.children("metrics") {
            findings.duration(metrics, "reportingInterval", zeroAllowed: true)
            for override in metrics.children("overrides") {
                if let match = override.child("match"), match.string("customMetric") == "" {
                    findings.error(
                        match.position("customMetric"), "\(match.path).customMetric",
                        "customMetric must not be empty; leave it out for every metric")
                }
                for (_, tag) in override.entries("tagOverrides") {
                    if tag.name("operation") == "REMOVE", tag.string("value")?.isEmpty == false {
                        findings.error(tag.position("value"), "\(tag.path).value", "must not be set with operation REMOVE")
                    } else if tag.name("operation") != "REMOVE", tag.string("value")?.isEmpty ?? true {
                        findings.error(tag.position, tag.path, "value is required with operation UPSERT")
                    }
                }
            }
        }
    }

    private func check(customTag tag: NodeReader, _ name: String) {
        if name.isEmpty { findings.error(tag.position, tag.path, "a tag needs a name") }
        let kinds = [("literal", "value"), ("environment", "name"), ("header", "name"), ("formatter", "value")]
        if !kinds.contains(where: { tag.has($0.0) }) {
            findings.error(tag.position, tag.path, "one of literal, environment, header or formatter is required")
        }
        for (kind, field) in kinds { if let source = tag.child(kind) { findings.require(source, field, "of the tag") } }
    }

    func check(meshConfig mesh: NodeReader) {
        var names: Set<String> = []
        for provider in mesh.children("extensionProviders") {
            findings.require(provider, "name", "Telemetry and defaultProviders refer to it")
            if let name = provider.string("name"), !names.insert(name).inserted {
                findings.error(provider.position("name"), "\(provider.path).name", "provider \"\(name)\" is defined twice")
            }
            check(provider: provider)
        }
        for (kind, builtIn) in [("tracing", [String]()), ("accessLogging", ["envoy"]), ("metrics", ["prometheus"])] {
            guard let defaults = mesh.child("defaultProviders") else { continue }
            let given = defaults.positionedStrings(kind)
            if kind == "tracing", given.count > 1 { findings.error(given[1].position, given[1].path, "tracing takes one provider at most") }
            for (name, position, path) in given where !names.contains(name) && !builtIn.contains(name) {
                let known = (names.sorted() + builtIn).joined(separator: ", ")
                findings.error(
                    position, path, "provider \"\(name)\" is not in extensionProviders (\(known.isEmpty ? "none are defined" : known))",
                    code: .referenceNotFound)
            }
        }
        if let tracing = mesh.child("defaultConfig")?.child("tracing") {
            findings.percent(tracing, "sampling")
            if let zipkin = tracing.child("zipkin"), let address = zipkin.string("address"), !Self.isHostPort(address) {
                findings.error(zipkin.position("address"), "\(zipkin.path).address", "\"\(address)\" is not HOST:PORT")
            }
        }
        if let locality = mesh.child("localityLbSetting") {
            LocalityChecks(findings: findings).check(locality: locality, hasOutlierDetection: true)
        }
        for name in ["proxyListenPort", "proxyHttpPort", "proxyInboundListenPort"] { findings.range(mesh, name, 0...65535) }
        for name in ["connectTimeout", "protocolDetectionTimeout"] { findings.duration(mesh, name, zeroAllowed: true) }
        if let domain = mesh.string("trustDomain"), let problem = HostName.problem(domain, wildcard: false) {
            findings.error(mesh.position("trustDomain"), "\(mesh.path).trustDomain", "trust domain \"\(domain)\" \(problem)")
        }
        for (domain, position, path) in mesh.positionedStrings("trustDomainAliases") {
            if let problem = HostName.problem(domain, wildcard: false) {
                findings.error(position, path, "trust domain \"\(domain)\" \(problem)")
            }
        }
        if let namespace = mesh.string("rootNamespace"), let problem = HostName.problem(namespace, wildcard: false) {
            findings.error(mesh.position("rootNamespace"), "\(mesh.path).rootNamespace", "namespace \"\(namespace)\" \(problem)")
        }
    }

    private func check(provider: NodeReader) {
        let kinds = Schema.istio.messages["ExtensionProvider"]?.oneOfs.first ?? []
        guard let kind = kinds.first(where: provider.has) else {
            findings.error(provider.position, provider.path, "one of \(kinds.joined(separator: ", ")) is required")
            return
        }
        guard let settings = provider.child(kind) else { return }
        if ["zipkin", "opentelemetry", "lightstep", "datadog", "skywalking", "envoyExtAuthzHttp", "envoyExtAuthzGrpc"].contains(kind) {
            findings.require(settings, "service", "HOST or NAMESPACE/HOST")
            if !settings.has("port") { findings.error(settings.position, settings.path, "port is required: 1 to 65535") }
            findings.range(settings, "port", 1...65535)
            if let service = settings.string("service"), !service.isEmpty {
                let host = service.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).last.map(String.init) ?? ""
                if IPAddress.family(host) == nil, let problem = HostName.problem(host, wildcard: false) {
                    findings.error(settings.position("service"), "\(settings.path).service", "host \"\(host)\" \(problem)")
                }
            }
        }
        if kind.hasPrefix("envoyExtAuthz") { AuthorizerChecks(findings: findings).check(authorizer: settings) }
        if let path = settings.string("path"), kind == "zipkin", !path.hasPrefix("/") {
            findings.error(settings.position("path"), "\(settings.path).path", "\"\(path)\" must begin with /")
        }
        if let format = settings.child("logFormat"), format.has("labels"), format.node("labels")?.pairs == nil {
            findings.error(
                format.position("labels"), "\(format.path).labels", "expected a mapping of keys to format strings", code: .wrongType)
        }
        if let http = settings.child("http"), let path = http.string("path"), !path.hasPrefix("/") {
            findings.error(http.position("path"), "\(http.path).path", "\"\(path)\" must begin with /")
        }
    }

    static func isHostPort(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return false }
        let host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { return IPAddress.family(String(host.dropFirst().dropLast())) == .v6 }
        // Istio's charts leave variables such as $(HOST_IP) in addresses.
        return host.hasPrefix("$(") || HostName.problem(host, wildcard: false) == nil
    }
}
