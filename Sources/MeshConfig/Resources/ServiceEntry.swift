/// A service: its names, ports and endpoints. Without Kubernetes, every service of the mesh is one of these.
public struct ServiceEntry: Sendable {
    public enum Location: String, Sendable { case meshExternal = "MESH_EXTERNAL", meshInternal = "MESH_INTERNAL" }
    public enum Resolution: String, Sendable {
        /// To the address the caller dialled.
        case none = "NONE"
        /// `endpoints` (or selected WorkloadEntry) are addresses.
        case `static` = "STATIC"
        /// Names looked up; every answer is an endpoint.
        case dns = "DNS"
        /// Names looked up; each new connection takes the first answer.
        case dnsRoundRobin = "DNS_ROUND_ROBIN"
        /// Parsed, not in effect.
        case dynamicDNS = "DYNAMIC_DNS"
    }

    public var id: ResourceID
    public var position: SourcePosition
    /// Not resolved to a namespace: they are full names. `*.suffix` allowed for NONE.
    public var hosts: [String]
    /// Virtual addresses or CIDR prefixes.
    public var addresses: [String]
    public var ports: [ServicePort]
    public var location: Location
    public var resolution: Resolution
    public var endpoints: [WorkloadEndpoint]
    /// Selects WorkloadEntry of the same namespace by labels; nil = none.
    public var workloadSelector: [String: String]?
    public var exportTo: [String]
    public var subjectAltNames: [String]

    public func port(numbered number: UInt16) -> ServicePort? { ports.first { $0.number == number } }
}

/// A port of a service or of a Sidecar listener.
public struct ServicePort: Sendable, Hashable {
    /// What travels on a port, after Istio's names (case-insensitive).
    public enum ApplicationProtocol: String, Sendable, CaseIterable {
        case http = "HTTP", https = "HTTPS", http2 = "HTTP2", grpc = "GRPC", grpcWeb = "GRPC-WEB"
        case tcp = "TCP", tls = "TLS", mongo = "MONGO", mysql = "MYSQL", redis = "REDIS", hbone = "HBONE"
        case httpProxy = "HTTP_PROXY"
        /// Not given: decided by the first bytes.
        case unspecified = ""

        /// Whether the proxy reads it as HTTP/1.1, HTTP/2 or gRPC.
        public var isHTTP: Bool {
            switch self {
            case .http, .http2, .grpc, .grpcWeb, .httpProxy: true
            default: false
            }
        }
    }
    public var position: SourcePosition
    /// 1...65535; 0 only on a Sidecar egress listener with a unix socket.
    public var number: UInt16
    public var `protocol`: ApplicationProtocol
    public var name: String
    /// Port of the endpoints; nil = `number`.
    public var targetPort: UInt16?
}

/// One endpoint: inline in a ServiceEntry, or the body of a WorkloadEntry.
public struct WorkloadEndpoint: Sendable {
    public var position: SourcePosition
    /// IP address, DNS name, `unix:///path` or `unix://@name`. Empty only where an inline endpoint stands for a network gateway.
    public var address: String
    /// Service port name -> port of the endpoint.
    public var ports: [String: UInt16]
    public var labels: [String: String]
    public var network: String
    /// `region/zone/subzone`.
    public var locality: String
    /// Relative share among the service's endpoints; 0 (absent) counts as 1.
    public var weight: UInt32
    public var serviceAccount: String

    /// The endpoint's port for a service port: its own by name, else the target port, else the same number.
    public func port(for service: ServicePort) -> UInt16 { ports[service.name] ?? service.targetPort ?? service.number }
}

/// A workload without Kubernetes: what a pod would be.
public struct WorkloadEntry: Sendable {
    public var id: ResourceID
    public var position: SourcePosition
    public var endpoint: WorkloadEndpoint
    /// Of the metadata; selectors match the union of these and the endpoint's own, the latter winning.
    public var metadataLabels: [String: String]

    public var labels: [String: String] { metadataLabels.merging(endpoint.labels) { $1 } }
}
