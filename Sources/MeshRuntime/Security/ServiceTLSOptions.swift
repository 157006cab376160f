/// TLS of this process' own ports, and of what it sends and scrapes itself; the traffic of the mesh has its own rules. A value.
public struct ServiceTLSOptions: Sendable, Equatable {
    /// The ports show this certificate; `authorities` are those of clients. Without authorities no client is asked for a certificate.
    public var server = TLSFiles()
    /// The ports show the workload's certificate, and its roots are the authorities of clients.
    public var servesIdentity = false
    /// A client may show no certificate; one that it shows must be good either way.
    public var clientCertificateIsOptional = false
    public var ports: Set<ServicePort> = Set(ServicePort.allCases).subtracting([.readiness])
    /// Of `https` addresses: the certificate that servers are shown (default: the workload's, if it has one), and their authorities
    /// (default: the system's).
    public var client = TLSFiles()
    /// Whom the collector's certificate must name, a host name or a SPIFFE identity; nil = its address.
    public var collectorName: String?

    public init() {}

    /// The ports speak TLS.
    var isOn: Bool { server.certificate != nil || servesIdentity }
    /// A key is read, besides the identity's.
    var hasKey: Bool { isOn || client.key != nil }
    /// Clients are asked who they are.
    var asksClients: Bool { servesIdentity || server.authorities != nil }

    /// What does not go together, or nil.
    public func problem(hasIdentity: Bool) -> String? {
        if (server.certificate == nil) != (server.key == nil) { return "--tls-certificate and --tls-key are given together" }
        if server.authorities != nil, server.certificate == nil {
            return "--tls-client-ca needs a certificate of this process: --tls-certificate and --tls-key"
        }
        if servesIdentity, server.certificate != nil { return "give either --tls-identity or --tls-certificate" }
        if servesIdentity, !hasIdentity { return "--tls-identity needs --identity DIRECTORY" }
        if clientCertificateIsOptional, !asksClients { return "--tls-client-optional needs --tls-client-ca or --tls-identity" }
        if (client.certificate == nil) != (client.key == nil) { return "--https-certificate and --https-key are given together" }
        return nil
    }
}

/// The ports of a process' own endpoints, by the names of their options.
public enum ServicePort: String, Sendable, CaseIterable {
    case zipkin, otlp
    case otlpGRPC = "otlp-grpc"
    case admin, readiness, metrics
    case jaeger, tempo
}
