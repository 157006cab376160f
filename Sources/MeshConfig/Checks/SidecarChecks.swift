/// Istio's rules across the listeners of a Sidecar; those of one listener's addresses are in `check(sidecar:)`.
extension Findings {
    mutating func check(listenersOf spec: NodeReader) {
        check(selectorOf: spec, "workloadSelector", "labels")
        if spec.isEmptyList("ingress"), spec.isEmptyList("egress"), !spec.has("outboundTrafficPolicy"), !spec.has("inboundConnectionPool") {
            error(
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
                warn(http.position, http.path, "has no effect on a port of protocol \(spoken); only tcp has")
            }
        }
        var ports: Set<Int64> = []
        for listener in spec.children("egress") {
            checkPortFields(listener)
            checkHosts(listener)
            if let port = listener.child("port"), let number = port.integer("number"), number != 0, !ports.insert(number).inserted {
                error(port.position, port.path, "port \(number) has two egress listeners")
            }
        }
        if let policy = spec.child("outboundTrafficPolicy"), let proxy = policy.child("egressProxy") {
            if policy.name("mode") == "REGISTRY_ONLY" {
                error(
                    policy.position("egressProxy"), "\(policy.path).egressProxy",
                    "goes with mode: ALLOW_ANY; under REGISTRY_ONLY there is no unknown traffic")
            }
            if !proxy.has("port") { error(proxy.position, "\(proxy.path).port", "port is required: {number: PORT}") }
        }
    }

    private mutating func checkPortFields(_ listener: NodeReader) {
        guard let port = listener.child("port") else { return }
        check(portNameOf: port)
        if port.integer("targetPort") ?? 0 > 0 {
            error(port.position("targetPort"), "\(port.path).targetPort", "a listener's port has no target; write defaultEndpoint")
        }
    }

    /// Source: Istio's reference of Sidecar (`IstioIngressListener.tls`) and its validation. Whether the port's PeerAuthentication leaves
    /// room for TLS is known where listeners are compiled (`SidecarTLSCompiler`).
    private mutating func check(ingressTLS tls: NodeReader, _ spoken: String) {
        check(serverTLS: tls)
        if spoken != "HTTPS", spoken != "TLS" {
            error(
                tls.position, tls.path,
                "a port of protocol \(spoken.isEmpty ? "HTTP" : spoken) has no TLS; write protocol: HTTPS or TLS, or delete tls")
        }
        if !tls.isEmptyList("subjectAltNames") {
            error(tls.position("subjectAltNames"), "\(tls.path).subjectAltNames", "not accepted for a Sidecar's ingress")
        }
        if tls.bool("httpsRedirect") == true {
            error(tls.position("httpsRedirect"), "\(tls.path).httpsRedirect", "not accepted for a Sidecar's ingress")
        }
        for name in ["credentialName", "credentialNames", "caCertCredentialName"]
        where tls.string(name)?.isEmpty == false || !tls.strings(name).isEmpty {
            error(
                tls.position(name), "\(tls.path).\(name)",
                "not accepted for a Sidecar's ingress; write the paths serverCertificate, privateKey and caCertificates")
        }
        if let mode = tls.name("mode"), mode == "ISTIO_MUTUAL" || mode == "AUTO_PASSTHROUGH" {
            error(
                tls.position("mode"), "\(tls.path).mode",
                "\(mode) is not accepted for a Sidecar's ingress; SIMPLE, MUTUAL or OPTIONAL_MUTUAL")
        }
    }

    /// Hosts that another of the list covers. Istio refuses a name without a dot; here it is a ServiceEntry's host as written.
    private mutating func checkHosts(_ listener: NodeReader) {
        let hosts = listener.positionedStrings("hosts")
        let all = Set(hosts.map(\.text))
        var seen: Set<String> = []
        for (text, position, path) in hosts {
            let host = text.split(separator: "/", maxSplits: 1).last.map(String.init) ?? ""
            if HostName.isPartialWildcard(host) {
                error(position, path, "\"\(host)\": here a wildcard is the whole first label; write *.example.com")
            }
            let namespace = text.split(separator: "/", maxSplits: 1).first.map(String.init) ?? ""
            if !seen.insert(text).inserted {
                warn(position, path, "\"\(text)\" is listed twice")
            } else if text != "*/*", all.contains("*/*") || host != "*" && all.contains("\(namespace)/*") {
                warn(position, path, "\"\(text)\" is covered by \(all.contains("*/*") ? "*/*" : "\(namespace)/*") already")
            }
        }
    }
}
