/// Trust domains that are one: a principal of one of them is meant in all (Istio: `trustDomain`, `trustDomainAliases`; task "Trust Domain
/// Migration"). A value.
struct PrincipalExpansion {
    /// Istio's name for the mesh's own domain, whatever that is.
    private static let ownDomain = "cluster.local"

    /// The mesh's own first.
    let domains: [String]

    init(trustDomain: String, aliases: [String]) {
        var domains: [String] = []
        for domain in [trustDomain] + aliases where !domains.contains(domain) { domains.append(domain) }
        self.domains = domains
    }

    /// What a principal of a policy means. What is no `DOMAIN/ns/NAMESPACE/sa/ACCOUNT`, or of another mesh, means itself.
    func expand(_ principal: String) -> [String] {
        let parts = principal.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard principal.split(separator: "/", omittingEmptySubsequences: false).count == 5, parts.count == 2, parts[0] != "*" else {
            return [principal]
        }
        let domain = String(parts[0])
        guard domain == Self.ownDomain || domains.contains(where: { Self.matches($0, domain) }) else { return [principal] }
        return domains.map { Self.matches($0, domain) ? principal : "\($0)/\(parts[1])" }
    }

    /// Only a star at the beginning is one: what stands behind it would be cut by the slash.
    private static func matches(_ domain: String, _ pattern: String) -> Bool {
        pattern.hasPrefix("*") ? domain.hasSuffix(pattern.dropFirst()) : domain == pattern
    }
}
