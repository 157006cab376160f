internal import MeshConfig

extension CompileScope {
    /// The resource that decides for a cluster, looked for as a DestinationRule is: in the namespace of the caller, of the service, then
    /// the root. Within one, the more particular host, then the one for the subset, then the first loaded. It decides whole: nothing of
    /// another one is added.
    func meshOutlierDetection(host: String, subset: String, serviceNamespace: String) -> MeshOutlierDetection? {
        for namespace in [node.namespace, serviceNamespace, configuration.mesh.rootNamespace] {
            var best: (resource: MeshOutlierDetection, rank: (Int, Int, Int))?
            for resource in configuration.meshOutlierDetections
            where resource.id.namespace == namespace && (resource.subset.isEmpty || resource.subset == subset) {
                let wanted = HostName.resolve(resource.host, namespace: namespace).lowercased()
                let isWildcard = wanted.hasPrefix("*")
                guard isWildcard ? HostName.matches(wanted, host) : wanted == host else { continue }
                let rank = (isWildcard ? 0 : 1, wanted.utf8.count, resource.subset.isEmpty ? 0 : 1)
                if best.map({ $0.rank < rank }) ?? true { best = (resource, rank) }
            }
            if let best { return best.resource }
        }
        return nil
    }
}

extension ClusterEntry {
    /// Without a DestinationRule's `outlierDetection` only what the mesh has of its own judges the endpoints.
    mutating func apply(_ resource: MeshOutlierDetection) {
        guard resource.mode != .off, outlier.isEnabled || resource.errorRate != nil || resource.latency != nil else { return }
        if !outlier.isEnabled {
            outlier.isEnabled = true
            outlier.isOfMeshAlone = true
        }
        if let time = resource.intervalNanoseconds { outlier.intervalNanoseconds = time }
        if let time = resource.baseEjectionTimeNanoseconds { outlier.baseEjectionNanoseconds = time }
        if let percent = resource.maxEjectionPercent { outlier.maxEjectionPercent = Int64(percent) }
        if let percent = resource.minHealthPercent { outlier.minHealthPercent = Int64(percent) }
    }
}
