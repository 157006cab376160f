internal import MeshConfig
internal import Primitives

/// Gives endpoints their security, and tells of what cannot be given. Shared by the clusters of one compilation.
final class UpstreamSecurityCompiler {
    private let scope: CompileScope
    private let policies: PeerAuthentications
    private let draft: SnapshotBuilder
    /// Endpoints spoken to in plaintext only because the process has no identity.
    private var unidentified = 0
    private var firstUnidentified: SourcePosition?

    init(_ scope: CompileScope, _ policies: PeerAuthentications, _ draft: SnapshotBuilder) {
        self.scope = scope
        self.policies = policies
        self.draft = draft
    }

    /// The decision about a cluster that is about to be added.
    func secure(
        _ target: ClusterSecurity.Target, _ settings: ClientTLSSettings?, of rule: DestinationRule?, _ cluster: inout ClusterEntry
    ) -> ClusterSecurity {
        let security = ClusterSecurity(target, settings, of: rule, scope)
        draft.securityReasons.clusters[draft.clusters.count] = security.reason
        draft.unenforced.note(settings, of: rule, hasIdentity: scope.inputs.hasIdentity)
        cluster.dialledSecurity = intern(security, for: nil)
        return security
    }

    /// The decision about a cluster that is about to be added and gets the client's own TLS.
    func passOn(_ target: ClusterSecurity.Target) -> ClusterSecurity {
        let security = ClusterSecurity(passingOnTo: target, scope)
        draft.securityReasons.clusters[draft.clusters.count] = security.reason
        return security
    }

    /// The security of an endpoint that is about to be added with so many addresses, -1 = plaintext. `port`: the endpoint's own.
    func securityIndex(of endpoint: ServiceEndpoint, _ security: ClusterSecurity, port: UInt16, addresses: Int) -> Int32 {
        if addresses == 0 { return -1 }
        switch security.reason {
        case .rule: return intern(security, for: endpoint)
        case .switchedOff, .external, .passedOn: return -1
        case .automatic, .noIdentity: break
        }
        guard endpoint.labels[ClusterSecurity.modeLabel] == "istio" else { return -1 }
        let rule = policies.rules(namespace: endpoint.namespace, labels: endpoint.labels).rule(port: port)
        if rule.mode == .disable {
            for place in 0..<addresses { draft.securityReasons.refusals[draft.endpoints.count + place] = rule }
            return -1
        }
        if case .noIdentity = security.reason {
            unidentified += addresses
            firstUnidentified = firstUnidentified ?? endpoint.position
            return -1
        }
        return intern(security, for: endpoint)
    }

    /// Whom an endpoint of this security must show itself to be; empty = nobody in particular.
    func principal(_ security: Int32) -> String {
        guard security >= 0 else { return "" }
        let kind = draft.upstreamSecurities.items[Int(security)]
        return kind.mode == .istioMutual ? kind.names.first { $0.hasPrefix("spiffe://") } ?? "" : ""
    }

    private func intern(_ security: ClusterSecurity, for endpoint: ServiceEndpoint?) -> Int32 {
        security.upstreamSecurity(of: endpoint, hasIdentity: scope.inputs.hasIdentity).map { draft.upstreamSecurities.intern($0) } ?? -1
    }

    /// After the last cluster.
    func reportLackOfIdentity() {
        guard let firstUnidentified else { return }
        draft.report(
            .notice, "SKN0203", firstUnidentified, nil, "",
            "\(unidentified) endpoint\(unidentified == 1 ? " takes" : "s take") mutual TLS (\(ClusterSecurity.modeLabel): istio) and "
                + "\(unidentified == 1 ? "is" : "are") spoken to in plaintext, because the process has no identity: start it with "
                + "--identity DIRECTORY")
    }
}

/// Different securities, each with an index.
struct UpstreamSecurityList {
    private(set) var items: [UpstreamSecurity] = []
    private var places: [UpstreamSecurity: Int32] = [:]

    /// At most one for each endpoint, of which tables hold fewer than 2^31.
    mutating func intern(_ security: UpstreamSecurity) -> Int32 {
        if let known = places[security] { return known }
        let place = Int32(clamping: items.count)
        items.append(security)
        places[security] = place
        return place
    }
}
