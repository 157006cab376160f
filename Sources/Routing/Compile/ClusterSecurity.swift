internal import MeshConfig
internal import Primitives

/// How the endpoints of one cluster are secured: all as its DestinationRule says, else each by its label (Istio: automatic mutual TLS).
struct ClusterSecurity {
    /// A workload whose proxy takes mutual TLS carries this label with the value `istio`.
    static let modeLabel = "security.istio.io/tlsMode"

    /// The cluster, as far as security depends on it.
    struct Target {
        var host: String
        var subset: String
        var port: ServicePort
        var isHTTP2: Bool
        var isExternal: Bool
        /// Of the ServiceEntry.
        var subjectAltNames: [String]
        /// TLS may agree on HTTP/2.
        var mayChooseHTTP: Bool
    }

    let reason: ClusterSecurityReason
    private let target: Target
    private let mesh: MeshSettings

    /// `settings`: the rule's for the subset and port.
    init(_ target: Target, _ settings: ClientTLSSettings?, of rule: DestinationRule?, _ scope: CompileScope) {
        self.target = target
        mesh = scope.configuration.mesh
        reason =
            if let settings, let rule { .rule(rule.id, settings) }
            else if target.isExternal { .external }
            else if !mesh.enablesAutoMutualTLS { .switchedOff(mesh.position) }
            else { scope.inputs.hasIdentity ? .automatic : .noIdentity }
    }

    /// Nothing is added to what the client sends.
    init(passingOnTo target: Target, _ scope: CompileScope) {
        self.target = target
        mesh = scope.configuration.mesh
        reason = .passedOn
    }

    /// Of an endpoint that takes mutual TLS where nothing else is said; nil = plaintext. `endpoint` nil: an address that a client dialled.
    func upstreamSecurity(of endpoint: ServiceEndpoint?, hasIdentity: Bool) -> UpstreamSecurity? {
        switch reason {
        case .rule(_, let settings): secured(settings, endpoint, hasIdentity: hasIdentity)
        case .automatic: endpoint.map { securedByMesh(serverName: "", names: [], $0) }
        case .noIdentity, .switchedOff, .external, .passedOn: nil
        }
    }

    private func secured(_ settings: ClientTLSSettings, _ endpoint: ServiceEndpoint?, hasIdentity: Bool) -> UpstreamSecurity? {
        switch settings.mode {
        case .disable: nil
        case .istioMutual:
            hasIdentity ? securedByMesh(serverName: settings.serverName, names: settings.subjectAltNames, endpoint) : nil
        case .simple, .mutual: originated(settings)
        }
    }

    /// With the mesh's certificates. Without names of the rule the endpoint must be who its service account says, under any of the mesh's
    /// trust domains, or have a name of the ServiceEntry. (Istio takes the accounts of all endpoints of the service for each of them.)
    private func securedByMesh(serverName: String, names: [String], _ endpoint: ServiceEndpoint?) -> UpstreamSecurity {
        var accepted = names
        if accepted.isEmpty {
            accepted = target.subjectAltNames.flatMap(withAliases)
            if let endpoint, !endpoint.serviceAccount.isEmpty {
                accepted += withAliases("spiffe://\(mesh.trustDomain)/ns/\(endpoint.namespace)/sa/\(endpoint.serviceAccount)")
            }
        }
        let standard = ClusterServerName.standard(target.host, target.subset, target.port.number)
        return UpstreamSecurity(
            mode: .istioMutual, serverName: serverName.isEmpty ? standard : serverName, names: Self.unique(accepted), verifiesHost: false,
            skipsVerification: false, authorities: "", certificate: "", key: "", credentialName: "", revocations: "",
            traffic: traffic, choosesHTTP: false)
    }

    /// TLS of the rule's own files.
    private func originated(_ settings: ClientTLSSettings) -> UpstreamSecurity {
        let names = settings.subjectAltNames.isEmpty ? target.subjectAltNames : settings.subjectAltNames
        let host = target.host.hasPrefix("*") ? "" : target.host
        let isMutual = settings.mode == .mutual
        let skips = settings.skipsVerification
        return UpstreamSecurity(
            mode: isMutual ? .mutual : .simple, serverName: settings.serverName.isEmpty ? host : settings.serverName,
            names: skips ? [] : Self.unique(names), verifiesHost: names.isEmpty && !skips, skipsVerification: skips,
            // istiod's word for the system's authorities.
            authorities: settings.caCertificates == "system" ? "" : settings.caCertificates,
            certificate: isMutual ? settings.clientCertificate : "", key: isMutual ? settings.privateKey : "",
            credentialName: settings.credentialName, revocations: settings.caCrl, traffic: traffic,
            choosesHTTP: traffic == .http1 && target.mayChooseHTTP)
    }

    private var traffic: UpstreamSecurity.Traffic {
        if target.isHTTP2 { return .http2 }
        return target.port.protocol.isHTTP || target.port.protocol == .unspecified ? .http1 : .tcp
    }

    /// An identity of the mesh under each of its trust domains; any other name as it is.
    private func withAliases(_ name: String) -> [String] {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 7, name.hasPrefix("spiffe://"), parts[3] == "ns", parts[5] == "sa" else { return [name] }
        let rest = parts[3...].joined(separator: "/")
        return [name] + mesh.trustDomainAliases.map { "spiffe://\($0)/\(rest)" }
    }

    private static func unique(_ names: [String]) -> [String] {
        var seen: Set<String> = []
        return names.filter { seen.insert($0).inserted }
    }
}
