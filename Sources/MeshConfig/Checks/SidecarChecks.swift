/// Istio's rules across the listeners of a Sidecar (networking.istio.io).
struct SidecarChecks {
    let findings: Findings

    func check(sidecar spec: NodeReader) {
        check(listenersOf: spec)
        var ports: Set<Int64> = []
        for listener in spec.children("ingress") {
            guard let port = listener.child("port"), let number = port.integer("number") else {
                findings.error(listener.position, listener.path, "port is required: {number, protocol, name}")
                continue
            }
            findings.range(port, "number", 1...65535)
            PortChecks(findings: findings).check(protocolOf: port)
            if !ports.insert(number).inserted { findings.error(port.position, port.path, "port \(number) has two ingress listeners") }
            PortChecks(findings: findings).check(bindOf: listener, unixAllowed: false)
            if let text = listener.string("defaultEndpoint"), text.hasPrefix(UnixAddress.prefix) {
                if let problem = UnixAddress.problem(text) {
                    findings.error(listener.position("defaultEndpoint"), "\(listener.path).defaultEndpoint", problem)
                }
            } else if let text = listener.string("defaultEndpoint"), Sidecar.LocalEndpoint(text: text) == nil {
                findings.error(
                    listener.position("defaultEndpoint"), "\(listener.path).defaultEndpoint",
                    "\"\(text)\" is not accepted; one of 127.0.0.1:PORT, :PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT, unix:///path")
            }
            if let pool = listener.child("connectionPool") { DestinationRuleChecks(findings: findings).check(connectionPool: pool) }
        }
        let egress = spec.children("egress")
        var sockets: Set<[UInt8]> = []
        for (index, listener) in egress.enumerated() {
            check(egress: listener, isLast: index == egress.count - 1)
            if let bind = listener.string("bind"), bind.hasPrefix(UnixAddress.prefix), !sockets.insert(Array(bind.utf8)).inserted {
                findings.error(listener.position("bind"), "\(listener.path).bind", "\"\(bind)\" has two egress listeners")
            }
        }
        if let pool = spec.child("inboundConnectionPool") { DestinationRuleChecks(findings: findings).check(connectionPool: pool) }
        if let policy = spec.child("outboundTrafficPolicy"), let proxy = policy.child("egressProxy") {
            findings.require(proxy, "host", "the service that unknown traffic goes to")
        }
    }

    private func check(egress listener: NodeReader, isLast: Bool) {
        if let port = listener.child("port") {
            let isUnix = listener.string("bind")?.hasPrefix(UnixAddress.prefix) ?? false
            if isUnix {
                PortChecks(findings: findings).check(numberOfSocket: port)
            } else {
                if port.integer("number") ?? 0 == 0 {
                    findings.error(port.position, port.path, "number is required: 1 to 65535 (0 is for bind: unix:///path)")
                }
                findings.range(port, "number", 1...65535)
            }
            if isUnix, listener.name("captureMode") == "IPTABLES" {
                findings.error(
                    listener.position("captureMode"), "\(listener.path).captureMode",
                    "nobody is redirected to a Unix socket; write NONE, or delete it")
            }
            PortChecks(findings: findings).check(protocolOf: port)
        } else {
            if !isLast {
                findings.error(listener.position, listener.path, "a listener without port covers every other port and must be the last")
            }
            if listener.string("bind")?.isEmpty == false {
                findings.error(
                    listener.position("bind"), "\(listener.path).bind",
                    "bind needs a port; for a Unix socket one with number 0 and its protocol")
            }
        }
        PortChecks(findings: findings).check(bindOf: listener, unixAllowed: true)
        let hosts = listener.positionedStrings("hosts")
        if listener.isEmptyList("hosts") {
            findings.error(listener.position("hosts"), "\(listener.path).hosts", "hosts is required: for example \"./*\" or \"*/*\"")
        }
        for (text, position, path) in hosts {
            guard let host = Sidecar.EgressHost(text: text) else {
                findings.error(
                    position, path, "\"\(text)\" is not NAMESPACE/HOST; for example \"./*\" (this namespace), \"*/reviews.example.com\"")
                continue
            }
            if let problem = HostName.problem(host.host, wildcard: true) {
                findings.error(position, path, "host \"\(host.host)\" \(problem)")
            }
            if ![".", "*", "~"].contains(host.namespace), let problem = HostName.problem(host.namespace, wildcard: false) {
                findings.error(position, path, "namespace \"\(host.namespace)\" \(problem)")
            }
        }
    }

    private func check(listenersOf spec: NodeReader) {
        NameChecks(findings: findings).check(selectorOf: spec, "workloadSelector", "labels")
        if spec.isEmptyList("ingress"), spec.isEmptyList("egress"), !spec.has("outboundTrafficPolicy"), !spec.has("inboundConnectionPool") {
            findings.error(
                spec.position, "spec",
                "an empty Sidecar says nothing; one of ingress, egress, outboundTrafficPolicy or inboundConnectionPool is required")
        }
        for listener in spec.children("ingress") {
            checkPortFields(listener)
            let spoken = (listener.child("port")?.string("protocol") ?? "").uppercased()
            if let tls = listener.child("tls") { check(ingressTLS: tls, spoken) }
            // HTTPS that is decrypted is HTTP.
            let mode = listener.child("tls")?.name("mode") ?? "PASSTHROUGH"
            let isHTTPS = spoken == "HTTPS" && mode != "PASSTHROUGH"
            if let http = listener.child("connectionPool")?.child("http"), !isHTTPS,
                ["TCP", "TLS", "HTTPS", "MONGO", "MYSQL", "REDIS"].contains(spoken)
            {
                findings.warn(http.position, http.path, "has no effect on a port of protocol \(spoken); only tcp has")
            }
        }
        var ports: Set<Int64> = []
        for listener in spec.children("egress") {
            checkPortFields(listener)
            checkHosts(listener)
            if let port = listener.child("port"), let number = port.integer("number"), number != 0, !ports.insert(number).inserted {
                findings.error(port.position, port.path, "port \(number) has two egress listeners")
            }
        }
        if let policy = spec.child("outboundTrafficPolicy"), let proxy = policy.child("egressProxy") {
            if policy.name("mode") == "REGISTRY_ONLY" {
                findings.error(
                    policy.position("egressProxy"), "\(policy.path).egressProxy",
                    "goes with mode: ALLOW_ANY; under REGISTRY_ONLY there is no unknown traffic")
            }
            if !proxy.has("port") { findings.error(proxy.position, "\(proxy.path).port", "port is required: {number: PORT}") }
        }
    }

    private func checkPortFields(_ listener: NodeReader) {
        guard let port = listener.child("port") else { return }
        NameChecks(findings: findings).check(portNameOf: port)
        if port.integer("targetPort") ?? 0 > 0 {
            findings.error(port.position("targetPort"), "\(port.path).targetPort", "a listener's port has no target; write defaultEndpoint")
        }
    }

    /// Source: Istio's reference of Sidecar (`IstioIngressListener.tls`) and its validation. Whether the port's PeerAuthentication leaves
    /// room for TLS is known where listeners are compiled (`SidecarTLSCompiler`).
    private func check(ingressTLS tls: NodeReader, _ spoken: String) {
        TLSChecks(findings: findings).check(serverTLS: tls)
        if spoken != "HTTPS", spoken != "TLS" {
            findings.error(
                tls.position, tls.path,
                "a port of protocol \(spoken.isEmpty ? "HTTP" : spoken) has no TLS; write protocol: HTTPS or TLS, or delete tls")
        }
        if !tls.isEmptyList("subjectAltNames") {
            findings.error(tls.position("subjectAltNames"), "\(tls.path).subjectAltNames", "not accepted for a Sidecar's ingress")
        }
        if tls.bool("httpsRedirect") == true {
            findings.error(tls.position("httpsRedirect"), "\(tls.path).httpsRedirect", "not accepted for a Sidecar's ingress")
        }
        for name in ["credentialName", "credentialNames", "caCertCredentialName"]
        where tls.string(name)?.isEmpty == false || !tls.strings(name).isEmpty {
            findings.error(
                tls.position(name), "\(tls.path).\(name)",
                "not accepted for a Sidecar's ingress; write the paths serverCertificate, privateKey and caCertificates")
        }
        if let mode = tls.name("mode"), mode == "ISTIO_MUTUAL" || mode == "AUTO_PASSTHROUGH" {
            findings.error(
                tls.position("mode"), "\(tls.path).mode",
                "\(mode) is not accepted for a Sidecar's ingress; SIMPLE, MUTUAL or OPTIONAL_MUTUAL")
        }
    }

    /// Hosts that another of the list covers. Istio refuses a name without a dot; here it is a ServiceEntry's host as written.
    private func checkHosts(_ listener: NodeReader) {
        let hosts = listener.positionedStrings("hosts")
        let all = Set(hosts.map(\.text))
        var seen: Set<String> = []
        for (text, position, path) in hosts {
            let host = text.split(separator: "/", maxSplits: 1).last.map(String.init) ?? ""
            if HostName.isPartialWildcard(host) {
                findings.error(position, path, "\"\(host)\": here a wildcard is the whole first label; write *.example.com")
            }
            let namespace = text.split(separator: "/", maxSplits: 1).first.map(String.init) ?? ""
            if !seen.insert(text).inserted {
                findings.warn(position, path, "\"\(text)\" is listed twice")
            } else if text != "*/*", all.contains("*/*") || host != "*" && all.contains("\(namespace)/*") {
                findings.warn(position, path, "\"\(text)\" is covered by \(all.contains("*/*") ? "*/*" : "\(namespace)/*") already")
            }
        }
    }
}
