internal import MeshConfig

/// Which AuthorizationPolicies, RequestAuthentications, PeerAuthentications and RateLimits apply to a service: for its page. Pure.
///
/// A service's workloads are the WorkloadEntries that its ServiceEntry selects and the endpoints written in it. A policy is listed once,
/// with how many of them it speaks for.
struct ServicePolicies {
    struct Policy {
        var id: ResourceID
        var position: SourcePosition
        /// `DENY, 2 rules`; `STRICT`; `100 requests in 1 s`.
        var effect: String
        /// Whom the resource is for: `mesh`, `namespace shop, selector app=web`, `callers in namespace shop`.
        var scope: String
        /// Of the service's workloads; nil for what applies at those who call it.
        var workloads: Int?
    }

    private struct Workload {
        var namespace: String
        var labels: [String: String]
    }

    /// Workloads that are looked at, and policies that are listed; more are counted in `omitted`.
    static let workloadsMax = 1000
    static let policiesMax = 500

    let host: String
    /// Workloads of the service.
    private(set) var workloadCount = 0
    /// In the order in which they are judged: connection, tokens, who may do what, limits.
    private(set) var policies: [Policy] = []
    private(set) var omitted = 0
    private let mesh: MeshConfiguration

    init(host: String, mesh: MeshConfiguration) {
        self.host = host.lowercased()
        self.mesh = mesh
        let all = Self.workloads(of: self.host, mesh)
        workloadCount = all.count
        let workloads = Array(all.prefix(Self.workloadsMax))
        addMutualTLS(workloads)
        addTokens(workloads)
        addAuthorization(workloads)
        addRateLimits(workloads)
        omitted = max(0, policies.count - Self.policiesMax)
        policies.removeLast(omitted)
    }

    private static func workloads(of host: String, _ mesh: MeshConfiguration) -> [Workload] {
        mesh.serviceEntries.filter { $0.hosts.contains { $0.lowercased() == host } }.flatMap { service -> [Workload] in
            let namespace = service.id.namespace
            let written = service.endpoints.map { Workload(namespace: namespace, labels: $0.labels) }
            guard let selector = service.workloadSelector else { return written }
            return written + mesh.workloadEntries.filter { $0.id.namespace == namespace && Labels.select(selector, $0.labels) }
                .map { Workload(namespace: namespace, labels: $0.labels) }
        }
    }

    private func scope(_ attachment: PolicyAttachment, _ namespace: String) -> String {
        let home = namespace == mesh.mesh.rootNamespace ? "mesh" : "namespace \(namespace)"
        switch attachment {
        case .workloads(let selector) where selector.isEmpty: return home
        case .workloads: return "\(home), selector \(attachment.text)"
        case .gateways: return "namespace \(namespace), target \(attachment.text)"
        }
    }

    /// Those that decide: the narrowest, and what they say of single ports (semantics 2.7).
    private mutating func addMutualTLS(_ workloads: [Workload]) {
        let all = PeerAuthentications(mesh)
        var counted: [MutualTLSRule: Int] = [:]
        for workload in workloads {
            let rules = all.rules(namespace: workload.namespace, labels: workload.labels)
            for rule in [rules.standard] + rules.ports.values where rule.policy != nil { counted[rule, default: 0] += 1 }
        }
        for (rule, count) in counted.sorted(by: { ($0.key.decider, $0.key.field) < ($1.key.decider, $1.key.field) }) {
            guard let id = rule.policy, let position = rule.position else { continue }
            let attachment = mesh.securityPolicies.first { $0.id == id }?.attachment ?? .workloads([:])
            let port = rule.field.contains("[") ? ", \(rule.field)" : ""
            policies.append(
                Policy(
                    id: id, position: position, effect: rule.mode.rawValue + port, scope: scope(attachment, id.namespace),
                    workloads: count))
        }
    }

    private mutating func addTokens(_ workloads: [Workload]) {
        let root = mesh.mesh.rootNamespace
        for one in mesh.requestAuthentications {
            let count = workloads.count { one.selects(namespace: $0.namespace, labels: $0.labels, rootNamespace: root) }
            guard count > 0 else { continue }
            let issuers = one.rules.map(\.issuer).joined(separator: ", ")
            policies.append(
                Policy(
                    id: one.id, position: one.position, effect: "tokens of \(issuers.isEmpty ? "nobody" : issuers)",
                    scope: scope(one.attachment, one.id.namespace), workloads: count))
        }
    }

    private mutating func addAuthorization(_ workloads: [Workload]) {
        let root = mesh.mesh.rootNamespace
        for action in AuthorizationPolicy.judgingOrder {
            for one in mesh.authorizationPolicies where one.action == action {
                let count = workloads.count { one.selects(namespace: $0.namespace, labels: $0.labels, rootNamespace: root) }
                guard count > 0 else { continue }
                var effect = "\(action.rawValue), \(one.rules.count) rule\(one.rules.count == 1 ? "" : "s")"
                if action == .custom { effect += ", asks \(one.provider.name)" }
                if one.isDryRun { effect += ", dry-run: changes nothing" }
                policies.append(
                    Policy(
                        id: one.id, position: one.position, effect: effect, scope: scope(one.attachment, one.id.namespace),
                        workloads: count))
            }
        }
    }

    /// As `RateLimitCompiler` chooses them: inbound by the workload, outbound by the host that is called.
    private mutating func addRateLimits(_ workloads: [Workload]) {
        let root = mesh.mesh.rootNamespace
        for one in mesh.rateLimits {
            let isMeant = one.hosts.isEmpty
                || one.hosts.contains { HostName.matches(HostName.resolve($0, namespace: one.id.namespace), host) }
            guard isMeant else { continue }
            let count = workloads.count { workload in
                (one.id.namespace == workload.namespace || one.id.namespace == root) && Labels.select(one.selector, workload.labels)
            }
            guard one.side == .outbound || count > 0 else { continue }
            let scope = scope(.workloads(one.selector), one.id.namespace)
            for limit in one.limits {
                policies.append(
                    Policy(
                        id: one.id, position: limit.position, effect: Self.text(limit),
                        scope: one.side == .outbound ? "callers: \(scope)" : scope, workloads: one.side == .outbound ? nil : count))
            }
        }
    }

    private static func text(_ limit: RateLimit.Limit) -> String {
        var text = "\(limit.requests) requests in \(Double(limit.perNanoseconds) / 1e9) s, burst \(limit.burst)"
        if !limit.keys.isEmpty { text += ", for each " + limit.keys.map(name).joined(separator: " and ") }
        if let port = limit.port { text += ", port \(port)" }
        if limit.match != nil { text += ", of some requests" }
        if limit.enforcedPercent < 100 { text += ", enforced for \(limit.enforcedPercent) %" }
        return text
    }

    private static func name(_ key: RateLimit.Key) -> String {
        switch key {
        case .header(let name): "header \(name)"
        case .queryParameter(let name): "query parameter \(name)"
        case .claim(let names): "claim \(names.joined(separator: "."))"
        case .clientIP: "client address"
        }
    }

    /// What happens to a request that no AuthorizationPolicy matches, at some workload of the service.
    private var unmatched: String {
        let allows = policies.contains {
            $0.id.kind == "AuthorizationPolicy" && $0.effect.hasPrefix("ALLOW") && !$0.effect.contains("dry-run")
        }
        return allows ? "denied" : "allowed"
    }

    /// `{"service":…,"workloads":N,"unmatched":"denied","omitted":0,"policies":[{"kind":…,"position":"FILE:LINE:COLUMN",…}]}`.
    var json: String {
        let items = policies.map { one in
            "{\"kind\":\(JSONText.quote(one.id.kind)),\"namespace\":\(JSONText.quote(one.id.namespace)),"
                + "\"name\":\(JSONText.quote(one.id.name)),\"position\":\(JSONText.quote("\(one.position)")),"
                + "\"effect\":\(JSONText.quote(one.effect)),\"scope\":\(JSONText.quote(one.scope)),"
                + "\"workloads\":\(one.workloads.map(String.init) ?? "null")}"
        }
        return "{\"service\":\(JSONText.quote(host)),\"workloads\":\(workloadCount),\"unmatched\":\"\(unmatched)\","
            + "\"omitted\":\(omitted),\"policies\":[\(items.joined(separator: ","))]}\n"
    }
}
