internal import MeshConfig
internal import Primitives

/// How connections are secured and who decided it, in words. Cold code.
extension RoutingSnapshot {
    /// Whether endpoints of a cluster choose between HTTP/2 and HTTP/1.1 by ALPN.
    public func endpointsChooseHTTP(ofCluster index: Int) -> Bool {
        view.rows.clusters[index].endpoints.indices.contains { place in
            let kind = Int(view.rows.endpoints[place].security)
            return upstreamSecurities.indices.contains(kind) && upstreamSecurities[kind].choosesHTTP
        }
    }

    /// What decides for a cluster: `ISTIO_MUTUAL by DestinationRule default/reviews (a.yaml:7:5)`.
    public func securityText(ofCluster index: Int) -> String {
        switch securityReasons.clusters[index] {
        case .rule(let rule, let settings):
            let by = "\(settings.mode.rawValue) by \(rule) (\(settings.position))"
            let isInVain = settings.mode == .istioMutual && !securityReasons.hasIdentity
            return isInVain ? "plaintext in place of \(by): the process has no identity" : by
        case .automatic: return "automatic: mutual TLS to endpoints labelled \(ClusterSecurity.modeLabel): istio"
        case .noIdentity: return "plaintext: no DestinationRule asks for TLS, and the process has no identity for automatic mutual TLS"
        case .switchedOff(let position):
            return "plaintext: no DestinationRule asks for TLS, and the mesh has enableAutoMtls: false"
                + (position.map { " (\($0))" } ?? "")
        case .passedOn: return "TLS of the client, passed on as it is (AUTO_PASSTHROUGH)"
        case .external: return "plaintext: the service is outside of the mesh, and no DestinationRule asks for TLS"
        case nil: return "plaintext"
        }
    }

    /// How an endpoint is spoken to: `mutual TLS with server name ..., which must be one of spiffe://...`.
    public func securityText(ofEndpoint index: Int) -> String {
        let endpoint = view.rows.endpoints[index]
        if endpoint.security >= 0 { return upstreamSecurities[Int(endpoint.security)].text }
        if case .passedOn = securityReasons.clusters[Int(endpoint.cluster)] { return "TLS of the client" }
        if let rule = securityReasons.refusals[index] { return "plaintext: \(rule.decider) says \(rule.mode.rawValue)" }
        if case .automatic = securityReasons.clusters[Int(endpoint.cluster)] {
            return "plaintext: it has no label \(ClusterSecurity.modeLabel): istio"
        }
        return "plaintext"
    }

    /// What the workload takes: `STRICT by PeerAuthentication default/strict (a.yaml:1:1); port 8080 DISABLE by ...`; nil for a proxy
    /// beside no workload.
    public var inboundSecurityText: String? {
        securityReasons.inbound.map { inbound in
            ([inboundText(inbound.standard)] + inbound.ports.sorted { $0.key < $1.key }.map { "port \($0.key) \(inboundText($0.value))" })
                .joined(separator: "; ")
        }
    }

    private func inboundText(_ rule: MutualTLSRule) -> String {
        let decided = "\(rule.mode.rawValue) by \(rule.decider)"
        return securityReasons.hasIdentity || rule.mode == .disable ? decided : "plaintext (\(decided)): the process has no identity"
    }
}

extension RoutingSnapshot {
    /// Whom a TLS connection to a port of a Gateway is for: the row of its listener and what is demanded, in words. Nil = no server of the
    /// port has the name, or its connections are passed through. `name`: the server name, in any case.
    public func securedServer(listener: Int, serverName name: String) -> (row: Int, text: String)? {
        guard case .server(let server) = unsafe tables.gatewayServer(listener: listener, name: Array(name.utf8)[...]) else { return nil }
        return (Int(server.row), gatewaySecurities[Int(server.security)].text)
    }

    /// What each server of a port takes; empty = server names tell nothing there.
    public func serverTexts(listener: Int) -> [String] {
        let named = view.rows.listeners[listener].namedRoutes.count
        return view.rows.listeners[listener].servers.indices.map { gatewaySecurities[Int(view.rows.gatewayServers[$0].security)].text }
            + (named > 0 ? ["AUTO_PASSTHROUGH: passed on by \(named) server names"] : [])
    }

    /// The cluster that a server name tells at a port of mode AUTO_PASSTHROUGH, in any case; nil = it tells none.
    public func clusterNamed(byServerName name: String, listener: Int) -> String? {
        let wanted = name.lowercased()
        let place = view.rows.listeners[listener].namedRoutes.indices.first { place in
            catalogs.name(of: view.rows.tcpRoutes[place].name).lowercased() == wanted
        }
        return place.map { catalogs.name(of: view.rows.tcpRoutes[$0].name) }
    }
}

extension GatewaySecurity {
    /// `Gateway ingress/front, port https: MUTUAL with credential web; client certificates under credential web (mesh.yaml:7:5)`.
    var text: String {
        var text = "\(server): \(tls.mode.rawValue)"
        let own = tls.credentialNames.joined(separator: " and ")
        switch tls.mode {
        case .istioMutual: text += " with the identity of the mesh"
        default: text += " with " + (own.isEmpty ? tls.pairs.map(\.certificate).joined(separator: " and ") : "credential \(own)")
        }
        if tls.versionMin != .tls12 || tls.versionMax != .tls13 { text += ", \(tls.versionMin.rawValue) to \(tls.versionMax.rawValue)" }
        if tls.asksClients {
            let named = tls.caCredentialName.isEmpty ? tls.credentialNames.first ?? "" : tls.caCredentialName
            let trusted = tls.mode == .istioMutual ? "the mesh" : named.isEmpty ? tls.authorities : "credential \(named)"
            text += "; client certificates under \(trusted)"
            if !tls.subjectAltNames.isEmpty { text += " named \(tls.subjectAltNames.joined(separator: " or "))" }
            if !tls.publicKeyHashes.isEmpty || !tls.certificateHashes.isEmpty { text += ", pinned" }
        }
        return text + " (\(tls.position))"
    }
}

extension UpstreamSecurity {
    /// `TLS with server name api.example.com, verified by it under /etc/ca.pem`.
    var text: String {
        var text =
            switch mode {
            case .simple: "TLS"
            case .mutual: "mutual TLS by \(certificate.isEmpty ? "no certificate" : certificate)"
            case .istioMutual: "mutual TLS of the mesh"
            }
        if !serverName.isEmpty { text += " with server name \(serverName)" }
        if skipsVerification { return text + ", NOT verified" }
        if !names.isEmpty {
            text += ", must be \(names.joined(separator: " or "))"
        } else if verifiesHost {
            text += ", must be \(serverName.isEmpty ? "the host asked for" : serverName)"
        } else {
            text += ", may be anybody"
        }
        let trusted = mode == .istioMutual ? "the mesh" : authorities.isEmpty ? "the system's authorities" : authorities
        return text + " under \(trusted)"
    }
}
