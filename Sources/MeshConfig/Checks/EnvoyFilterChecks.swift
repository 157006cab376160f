/// Istio's rules for an EnvoyFilter. What a patch says to Envoy is not looked at: there is no Envoy here.
struct EnvoyFilterChecks {
    let findings: Findings

    /// Kinds of objects a patch applies to, by the part of `match` that may name them.
    private static let listenerObjects: Set<String> = ["LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER"]
    private static let routeObjects: Set<String> = ["ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"]

    func check(envoyFilter spec: NodeReader) {
        if spec.has("workloadSelector"), !spec.isEmptyList("targetRefs") {
            findings.error(
                spec.position("targetRefs"), "spec.targetRefs", "workloadSelector and targetRefs exclude each other; keep one",
                code: .oneOf)
        }
        NameChecks(findings: findings).check(selectorOf: spec, "workloadSelector", "labels")
        for patch in spec.children("configPatches") {
            let target = patch.name("applyTo") ?? "INVALID"
            if target == "INVALID" {
                findings.error(
                    patch.position("applyTo"), "\(patch.path).applyTo", "applyTo is required: what is patched, for example HTTP_FILTER")
            }
            check(patch: patch)
            if let match = patch.child("match") { check(match: match, target) }
        }
    }

    private func check(patch entry: NodeReader) {
        guard let patch = entry.child("patch") else {
            findings.error(entry.position, "\(entry.path).patch", "patch is required: {operation, value}")
            return
        }
        let operation = patch.name("operation") ?? "INVALID"
        if operation == "INVALID" {
            findings.error(patch.position("operation"), "\(patch.path).operation", "operation is required, for example MERGE")
        } else if operation != "REMOVE", !patch.has("value") {
            findings.error(patch.position, "\(patch.path).value", "operation \(operation.prefix(64)) needs a value")
        }
    }

    private func check(match: NodeReader, _ target: String) {
        let isWaypoint = match.name("context") == "WAYPOINT"
        if isWaypoint != match.has("waypoint"), ["listener", "routeConfiguration", "cluster", "waypoint"].contains(where: match.has) {
            findings.error(
                match.position(match.has("waypoint") ? "waypoint" : "context"), "\(match.path).waypoint",
                "waypoint goes with context: WAYPOINT, and nothing else does")
        }
        if let wanted = wanted(target),
            let other = ["listener", "routeConfiguration", "cluster"].first(where: { $0 != wanted && match.has($0) })
        {
            findings.error(match.position(other), "\(match.path).\(other)", "applyTo \(target) is matched by \(wanted)")
        }
        guard let filter = match.child("listener")?.child("filterChain")?.child("filter") else { return }
        findings.require(filter, "name", "of the network filter, for example envoy.filters.network.http_connection_manager")
        if target == "LISTENER" || target == "FILTER_CHAIN" {
            findings.warn(filter.position, filter.path, "has no effect with applyTo \(target)")
        }
        guard let inner = filter.child("subFilter") else { return }
        findings.require(inner, "name", "of the HTTP filter, for example envoy.filters.http.router")
        if target != "HTTP_FILTER" { findings.error(inner.position, inner.path, "subFilter goes with applyTo: HTTP_FILTER only") }
        let managers = ["envoy.filters.network.http_connection_manager", "envoy.http_connection_manager"]
        if let name = filter.string("name"), !managers.contains(name) {
            findings.error(filter.position("name"), "\(filter.path).name", "only \(managers[0]) has filters within")
        }
    }

    private func wanted(_ target: String) -> String? {
        if Self.listenerObjects.contains(target) { return "listener" }
        if Self.routeObjects.contains(target) { return "routeConfiguration" }
        return target == "CLUSTER" ? "cluster" : nil
    }
}
