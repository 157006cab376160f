internal import ArgumentParser
internal import MeshRuntime

/// Options of `skein run` for TLS of its own ports and of what it sends and scrapes itself.
struct ServiceTLSArguments: ParsableArguments {
    @Option(
        help: "Serve the receivers, the query API, the admin and the metrics port by TLS with this certificate (PEM, its chain behind it).",
        completion: .file())
    var tlsCertificate: String?

    @Option(help: "The key of --tls-certificate (PEM).", completion: .file())
    var tlsKey: String?

    @Option(help: "Demand a certificate of clients, under these authorities (PEM).", completion: .file())
    var tlsClientCa: String?

    @Flag(help: "Serve these ports with the certificate of --identity, to workloads of the mesh alone.")
    var tlsIdentity = false

    @Flag(help: "With --tls-client-ca or --tls-identity: clients may also show no certificate.")
    var tlsClientOptional = false

    @Option(
        parsing: .upToNextOption,
        help: "Ports that speak TLS; default: all but readiness. The others answer in plaintext.",
        completion: .list(ServicePort.allCases.map(\.rawValue)), transform: Self.port)
    var tlsPorts: [ServicePort] = []

    @Option(help: "Authorities of the https servers of --collector and --scrape; default: the system's.", completion: .file())
    var httpsCa: String?

    @Option(help: "Certificate shown to https servers; default: the one of --identity, if given.", completion: .file())
    var httpsCertificate: String?

    @Option(help: "The key of --https-certificate.", completion: .file())
    var httpsKey: String?

    @Option(help: "Host name or SPIFFE identity that the collector's certificate must have; default: the host of --collector.")
    var collectorName: String?

    private static func port(_ name: String) throws -> ServicePort {
        guard let port = ServicePort(rawValue: name) else {
            throw ValidationError("\(name): accepted are \(ServicePort.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return port
    }

    var options: ServiceTLSOptions {
        var options = ServiceTLSOptions()
        options.server = TLSFiles(certificate: tlsCertificate, key: tlsKey, authorities: tlsClientCa)
        options.servesIdentity = tlsIdentity
        options.clientCertificateIsOptional = tlsClientOptional
        if !tlsPorts.isEmpty { options.ports = Set(tlsPorts) }
        options.client = TLSFiles(certificate: httpsCertificate, key: httpsKey, authorities: httpsCa)
        options.collectorName = collectorName
        return options
    }
}
