/// Which resources apply to a workload. Pure functions of the configuration.
extension MeshConfiguration {
    /// The Sidecar of a workload: one that selects its labels, else its namespace's default, else the root namespace's
    /// default; nil = Istio's implicit one (every host visible, no explicit listeners). Among equals the first loaded wins.
    public func sidecar(namespace: String, labels: [String: String]) -> Sidecar? {
        let own = sidecars.filter { $0.id.namespace == namespace }
        if let selected = own.first(where: { Labels.select($0.workloadSelector, labels) }) { return selected }
        if let fallback = own.first(where: { $0.workloadSelector?.isEmpty ?? true }) { return fallback }
        return sidecars.first { $0.id.namespace == mesh.rootNamespace && $0.workloadSelector?.isEmpty ?? true }
    }

    /// A workload by its resource name, as `--node` names it: `name`, or `namespace/name` where two namespaces share one.
    public func workload(named text: String) -> WorkloadEntry? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        return workloadEntries.first { entry in
            parts.count == 2 ? entry.id.namespace == parts[0] && entry.id.name == parts[1] : entry.id.name == text
        }
    }

    /// Endpoints of a service: its own, or the workloads of its namespace that its selector picks.
    public func endpoints(of service: ServiceEntry) -> [WorkloadEndpoint] {
        guard let selector = service.workloadSelector, !selector.isEmpty else { return service.endpoints }
        return workloadEntries.filter { $0.id.namespace == service.id.namespace && Labels.select(selector, $0.labels) }.map { entry in
            var endpoint = entry.endpoint
            endpoint.labels = entry.labels
            return endpoint
        }
    }
}

/// Label selectors: a workload is selected when it carries every pair.
public enum Labels {
    /// Nil and empty selectors select nothing here; what their absence means differs by resource.
    public static func select(_ selector: [String: String]?, _ labels: [String: String]) -> Bool {
        guard let selector, !selector.isEmpty else { return false }
        return selector.allSatisfy { labels[$0.key] == $0.value }
    }
}
