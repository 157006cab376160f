internal import MeshConfig
internal import Proxy
internal import Routing
internal import TLS

/// What a server of a Gateway takes, from its `tls` and its credentials. Pure.
enum GatewayTLSPlanner {
    /// `identity`: the process' own, for ISTIO_MUTUAL.
    static func plan(
        _ security: GatewaySecurity, _ credentials: CredentialSet, _ identity: WorkloadIdentity?, _ ticketKeys: TicketKeys
    ) throws(TLSError) -> DownstreamTLS {
        let tls = security.tls
        var settings = TLSSettings()
        settings.protocols = security.protocols
        settings.versions = version(tls.versionMin)...max(version(tls.versionMin), version(tls.versionMax))
        settings.ciphers = cipherList(tls.cipherSuites)
        settings.revocations = credentials.revocations
        settings.pins = CertificatePins(
            publicKeys: tls.publicKeyHashes.compactMap { PinText.bytes(base64: $0) },
            certificates: tls.certificateHashes.compactMap { PinText.bytes(hexadecimal: $0) })
        switch tls.mode {
        case .mutual, .istioMutual: settings.clientCertificate = .required
        case .optionalMutual: settings.clientCertificate = .wanted
        case .simple, .passthrough, .autoPassthrough: settings.clientCertificate = .none
        }
        if tls.mode == .istioMutual {
            guard let identity else {
                throw TLSError("ISTIO_MUTUAL shows the certificate of the mesh: give this proxy one with --identity DIRECTORY")
            }
            settings.credentials = identity.credentials
            // Lists of the server's own are of other authorities.
            if settings.revocations == nil { identity.verifyWorkloads(&settings) } else { settings.trust = .workloads(identity.bundles) }
        } else {
            settings.credentials = credentials.certificates.first
            settings.otherCredentials = credentials.certificates.dropFirst().first
            if tls.asksClients { settings.trust = .roots(credentials.roots) }
        }
        // A session goes on without a look at the client's certificate. So it does at its own server alone, under the same demands, and
        // never where a list may have taken the certificate back meanwhile; other lists of the mesh are another name.
        if settings.revocations == nil || settings.revocationScope == .listedAuthorities {
            let demands = [tls.subjectAltNames, tls.publicKeyHashes, tls.certificateHashes].map { $0.joined(separator: ",") }
            settings.resumeSessions(of: ([security.server] + demands).joined(separator: "\n"), with: ticketKeys)
        }
        // A mistake in one of them is told now, not with the first client.
        _ = try TLSContext(.server, settings)
        let expectation: TLSExpectation = tls.asksClients && !tls.subjectAltNames.isEmpty ? .names(tls.subjectAltNames) : .anybody
        return DownstreamTLS(settings: settings, expectation: expectation)
    }

    private static func version(_ version: ServerTLS.Version) -> TLSSettings.Version {
        switch version {
        case .tls12: .tls12
        case .tls13: .tls13
        }
    }

    /// In OpenSSL's syntax, which has no groups of equals (`[A|B]`): they follow each other. What has neither a certificate nor a key is in
    /// none of them, whatever is asked for. Nil = the default ones.
    private static func cipherList(_ suites: [String]) -> String? {
        guard !suites.isEmpty else { return nil }
        let plain = suites.map { $0.replacing("[", with: "").replacing("]", with: "").replacing("|", with: ":") }
        return (plain + ["!aNULL", "!eNULL", "!EXPORT", "!LOW", "!3DES", "!RC4", "!PSK", "!SRP"]).joined(separator: ":")
    }
}
