/// Istio's rules for a Gateway (networking.istio.io).
struct GatewayChecks {
    let findings: Findings

    func check(gateway spec: NodeReader) {
        if let name = findings.resource?.name, !name.isEmpty, let problem = ObjectName.labelProblem(name) {
            findings.error(spec.position, "metadata.name", "the name of a Gateway \(problem): rules call it NAMESPACE/NAME")
        }
        if spec.isEmptyList("servers") { findings.error(spec.position, "spec.servers", "servers is required: list at least one") }
        var names: Set<String> = []
        for server in spec.children("servers") {
            if server.isEmptyList("hosts") {
                findings.error(server.position, "\(server.path).hosts", "hosts is required: list at least one")
            }
            checkHosts(server)
            guard let port = server.child("port") else {
                findings.error(server.position, server.path, "port is required: {number, name, protocol}")
                continue
            }
            PortChecks(findings: findings).check(bindOf: server, unixAllowed: true)
            if server.string("bind")?.hasPrefix(UnixAddress.prefix) == true {
                PortChecks(findings: findings).check(numberOfSocket: port)
            } else {
                if !port.has("number") { findings.error(port.position, port.path, "number is required: 1 to 65535") }
                findings.range(port, "number", 1...65535)
            }
            check(port: port)
            if let name = port.string("name"), !name.isEmpty, !names.insert(name).inserted {
                findings.error(port.position("name"), "\(port.path).name", "port name \"\(name)\" is used twice; each server has its own")
            }
            check(tls: server, port)
        }
    }

    private func check(port: NodeReader) {
        findings.require(port, "name", "for example http")
        findings.require(port, "protocol", "HTTP, HTTP2, GRPC, HTTPS, TLS, TCP, MONGO, MYSQL or REDIS")
        PortChecks(findings: findings).check(protocolOf: port)
        if port.integer("targetPort") ?? 0 > 0 {
            findings.error(port.position("targetPort"), "\(port.path).targetPort", "a Gateway's port has no target; delete it")
        }
    }

    /// Istio refuses a name without a dot; here `localhost` is a host like any other.
    private func checkHosts(_ server: NodeReader) {
        for (text, position, path) in server.positionedStrings("hosts") {
            guard let scope = Gateway.HostScope(text: text) else {
                findings.error(position, path, "\"\(text)\" is neither HOST nor NAMESPACE/HOST")
                continue
            }
            if IPAddress.family(scope.host) == nil, let problem = HostName.problem(scope.host, wildcard: true) {
                findings.error(position, path, "host \"\(scope.host)\" \(problem)")
            }
            if HostName.isPartialWildcard(scope.host) {
                findings.error(position, path, "\"\(scope.host)\": here a wildcard is the whole first label; write *.example.com")
            }
            if ![".", "*"].contains(scope.namespace), let problem = ObjectName.labelProblem(scope.namespace) {
                findings.error(
                    position, path, "namespace \"\(scope.namespace.prefix(64))\" \(problem); accepted: \".\", \"*\" or a namespace")
            }
        }
    }

    /// What `tls` of a server must have.
    private func check(tls server: NodeReader, _ port: NodeReader) {
        let spoken = (port.string("protocol") ?? "").uppercased()
        let needsTLS = spoken == "HTTPS" || spoken == "TLS"
        guard let tls = server.child("tls") else {
            if needsTLS {
                findings.error(
                    server.position, "\(server.path).tls", "tls is required for protocol \(spoken); for example {mode: PASSTHROUGH}")
            }
            return
        }
        TLSChecks(findings: findings).check(serverTLS: tls)
        let mode = tls.name("mode") ?? "PASSTHROUGH"
        let isHTTP = ["HTTP", "HTTP2", "GRPC", "GRPC-WEB"].contains(spoken)
        if tls.bool("httpsRedirect") == true, !isHTTP {
            findings.warn(
                tls.position("httpsRedirect"), "\(tls.path).httpsRedirect",
                "has no effect on a port of protocol \(spoken): only plain HTTP is sent to https")
        }
        if needsTLS { return }
        if !isHTTP || mode != "PASSTHROUGH" && mode != "AUTO_PASSTHROUGH"
            || ["serverCertificate", "privateKey", "caCertificates"].contains(where: tls.has)
        {
            findings.error(
                tls.position(tls.has("mode") ? "mode" : "httpsRedirect"), "\(tls.path).mode",
                "a port of protocol \(spoken.isEmpty ? "HTTP" : spoken) has no TLS\(isHTTP ? " but httpsRedirect" : ""); write protocol: "
                    + "HTTPS or TLS, or delete tls")
        } else if tls.has("mode") {
            findings.warn(tls.position("mode"), "\(tls.path).mode", "has no effect on a port of protocol \(spoken), which is not TLS")
        }
    }
}
