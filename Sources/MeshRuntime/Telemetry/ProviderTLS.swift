internal import HTTPService
internal import MeshConfig
internal import TLS

/// TLS of a tracing provider, by the settings that the mesh has for it. Pure, but that it reads the files that settings name.
enum ProviderTLS {
    /// What the DestinationRule for exactly this host says of its port (Istio: a provider is reached as its service is). Nil = plaintext.
    static func settings(of host: String, port: UInt16, in mesh: MeshConfiguration) -> ClientTLSSettings? {
        mesh.destinationRules.first { $0.host.lowercased() == host.lowercased() }?.policy(subset: "", port: port).tls
    }

    /// What `client` reads.
    static func files(_ settings: ClientTLSSettings?, _ tls: ServiceTLS) -> [String] {
        guard let settings, settings.mode != .disable else { return [] }
        return (try? tls.credential(of: settings))??.paths ?? []
    }

    /// Nil = plaintext. `host`: what is dialled, or the service's name. Throws what cannot be had, for people.
    static func client(_ settings: ClientTLSSettings?, host: String, _ tls: ServiceTLS) throws(TLSError) -> ClientTLS? {
        guard let settings, settings.mode != .disable else { return nil }
        var key = ServiceTLS.ClientKey()
        key.showsIdentity = settings.mode == .istioMutual
        key.isWorkload = settings.mode == .istioMutual
        key.verifies = !settings.skipsVerification
        if settings.mode == .mutual, settings.credentialName.isEmpty, settings.clientCertificate.isEmpty || settings.privateKey.isEmpty {
            throw TLSError("mode MUTUAL needs clientCertificate and privateKey, or credentialName")
        }
        key.credential = try tls.credential(of: settings)
        let serverName = settings.serverName.isEmpty ? host : settings.serverName
        let expectation: TLSExpectation
        if !settings.subjectAltNames.isEmpty {
            expectation = .names(settings.subjectAltNames)
        } else {
            // A workload's certificate has no host name: without names any identity of the mesh is taken, as by Istio.
            expectation = settings.mode == .istioMutual ? .anybody : .host(serverName)
        }
        return ClientTLS(try tls.source(key, serverName), serverName: serverName, expecting: expectation)
    }
}
