public import MeshConfig
internal import TelemetryModel

/// The workload that a proxy stands beside: what a pod's name, namespace and labels are in Kubernetes.
public struct NodeIdentity: Sendable, Equatable {
    public var name: String
    public var namespace: String
    public var labels: [String: String]
    public var serviceAccount: String
    /// Empty for a proxy that stands beside nothing.
    public var address: String
    /// Port name to port.
    public var ports: [String: UInt16]
    /// Where it runs; empty = unknown.
    public var locality = Locality()
    public var network = ""

    /// A proxy beside no workload: an outbound proxy for whoever uses it.
    public init(name: String = "", namespace: String = "default") {
        self.name = name
        self.namespace = namespace
        labels = [:]
        serviceAccount = ""
        address = ""
        ports = [:]
    }

    public init(_ workload: WorkloadEntry) {
        name = workload.id.name
        namespace = workload.id.namespace
        labels = workload.labels
        serviceAccount = workload.endpoint.serviceAccount
        address = workload.endpoint.address
        ports = workload.endpoint.ports
        locality = Locality(workload.endpoint.locality)
        network = workload.endpoint.network
    }

    /// Finds the WorkloadEntry that `--node NAME` or `--node NAMESPACE/NAME` means; nil when there is none or the name is ambiguous.
    public static func find(_ written: String, in configuration: MeshConfiguration) -> [WorkloadEntry] {
        let parts = written.split(separator: "/", maxSplits: 1).map(String.init)
        return configuration.workloadEntries.filter { entry in
            parts.count == 2 ? entry.id.namespace == parts[0] && entry.id.name == parts[1] : entry.id.name == written
        }
    }

    public var app: String { labels["app"] ?? "" }
    public var version: String { labels["version"] ?? "" }
    /// Istio's canonical service: its own label, else the `app` label, else the workload's name.
    public var canonicalService: String {
        labels["service.istio.io/canonical-name"] ?? labels["app.kubernetes.io/name"] ?? labels["app"] ?? name
    }
    public var canonicalRevision: String {
        labels["service.istio.io/canonical-revision"] ?? labels["app.kubernetes.io/version"] ?? labels["version"]
            ?? (name.isEmpty ? "" : "latest")
    }

    /// Labels of what it sends.
    var sourceLabels: SourceLabels {
        var labels = SourceLabels()
        labels.workload = name
        labels.workloadNamespace = name.isEmpty ? "" : namespace
        labels.app = app
        labels.version = version
        labels.canonicalService = canonicalService
        labels.canonicalRevision = canonicalRevision
        labels.cluster = name.isEmpty ? "" : "Kubernetes"
        return labels
    }

    /// Adds the workload to the labels of what is sent to it.
    func describe(_ labels: inout DestinationLabels) {
        labels.workload = name
        labels.workloadNamespace = name.isEmpty ? "" : namespace
        labels.app = app
        labels.version = version
        labels.canonicalService = canonicalService
        labels.canonicalRevision = canonicalRevision
        labels.cluster = name.isEmpty ? "" : "Kubernetes"
    }
}
