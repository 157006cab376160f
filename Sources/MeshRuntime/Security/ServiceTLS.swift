internal import HTTPService
internal import Logging
internal import MeshConfig
internal import Primitives
internal import TLS

/// TLS of the process' own ports and of its own clients (exporters, reports, scrapes), renewed as its files are. Confined to the control
/// thread.
final class ServiceTLS {
    private let options: ServiceTLSOptions
    private let credentialsDirectory: String?
    private var identity: WorkloadIdentity?
    private var renewed: [RenewedTLS] = []
    let renewals = RenewalCounts()
    /// Sources of clients by what they are made from, so that each file is watched once.
    private var clients: [ClientKey: TLSSettingsSource] = [:]
    /// Of the ports; nil = they speak plaintext.
    private(set) var server: TLSSettingsSource?

    /// What a client's TLS is made from.
    struct ClientKey: Hashable {
        var files = TLSFiles()
        /// Without a certificate of its own the client shows the workload's.
        var showsIdentity = true
        /// The server is a workload of the mesh: without authorities of its own it is believed by the identity's roots.
        var isWorkload = false
        var verifies = true
        var oldest = TLSSettings.Version.tls12
        /// In place of `files`, as settings of the mesh name them.
        var credential: CredentialFiles?

        var paths: [String] { credential?.paths ?? files.paths }
    }

    /// `credentials`: the directory of `--credentials`.
    init(
        _ options: ServiceTLSOptions, _ identity: WorkloadIdentity?, credentials: String? = nil, _ log: Logger
    ) throws(StartError) {
        self.options = options
        credentialsDirectory = credentials
        self.identity = identity
        guard options.isOn else { return }
        let what = options.servesIdentity ? "--tls-identity" : "--tls-certificate, --tls-key, --tls-client-ca"
        do throws(TLSError) {
            if let key = options.server.key, let warning = try SecretFile.checkMode(key) { log.warning("\(warning)") }
            let made = try RenewedTLS(
                .server, "the service ports", paths: options.server.paths + [options.server.listsPath].compactMap(\.self),
                usesIdentity: options.servesIdentity, identity, renewals
            ) { (identity) throws(TLSError) in try Self.serverSettings(options, identity) }
            server = made.source
            renewed.append(made)
        } catch {
            throw StartError(status: SkeinProcess.badInput, lines: ["\(what): \(error)"])
        }
    }

    private static func serverSettings(_ options: ServiceTLSOptions, _ identity: WorkloadIdentity?) throws(TLSError) -> TLSSettings {
        var settings = TLSSettings()
        settings.protocols = ["h2", "http/1.1"]
        if options.servesIdentity {
            guard let identity else { throw TLSError("this process has no identity") }
            settings.credentials = identity.credentials
            identity.verifyWorkloads(&settings)
        } else {
            settings.credentials = try options.server.credentials()
            if let roots = try options.server.roots() { settings.trust = .roots(roots) }
            settings.revocations = try options.server.lists()
            settings.revocationScope = .listedAuthorities
        }
        if options.asksClients { settings.clientCertificate = options.clientCertificateIsOptional ? .wanted : .required }
        return settings
    }

    /// TLS of a client with a server: `host` is dialled, its certificate must name `name` (nil = `host`). Files that `key` does not name
    /// are those of the options of `https`.
    func client(host: String, name: String? = nil, _ key: ClientKey = ClientKey()) throws(TLSError) -> ClientTLS {
        var key = key
        if key.files.certificate == nil { (key.files.certificate, key.files.key) = (options.client.certificate, options.client.key) }
        if key.files.authorities == nil { key.files.authorities = options.client.authorities }
        key.isWorkload = name.map(ClientTLS.isIdentity) ?? false
        return ClientTLS(try source(key, name ?? host), host: host, name: name)
    }

    /// The files that settings of the mesh name for a client of this process; nil = they name none.
    func credential(of settings: ClientTLSSettings) throws(TLSError) -> CredentialFiles? {
        try CredentialFiles(settings, directory: credentialsDirectory)
    }

    /// The source for what is made from `key`; `name` is the server, in sentences.
    func source(_ key: ClientKey, _ name: String) throws(TLSError) -> TLSSettingsSource {
        if let known = clients[key] { return known }
        let usesIdentity = key.files.certificate == nil && key.showsIdentity || key.isWorkload && key.files.authorities == nil
        let made = try RenewedTLS(
            .client, "https with \(name)", paths: key.paths, usesIdentity: usesIdentity, identity, renewals
        ) { (identity) throws(TLSError) in try Self.clientSettings(key, identity) }
        renewed.append(made)
        clients[key] = made.source
        return made.source
    }

    /// Who the certificate says that this process is that its clients show; nil = they show none, or one that is no workload's.
    var principal: String? {
        guard options.client.certificate != nil else { return identity?.id.principal }
        guard let leaf = (try? options.client.credentials())?.leaf else { return nil }
        return (try? SVIDRules.identity(of: leaf, as: .client))?.principal
    }

    private static func clientSettings(_ key: ClientKey, _ identity: WorkloadIdentity?) throws(TLSError) -> TLSSettings {
        var settings = TLSSettings()
        settings.protocols = ["http/1.1"]
        settings.versions = key.oldest ... .tls13
        if let credential = key.credential {
            var warnings: [String] = []
            let found = try credential.load(warnings: &warnings)
            settings.credentials = found.certificates.first
            settings.revocations = found.revocations
            settings.trust = !key.verifies ? .anybody : found.roots.isEmpty ? .system : .roots(found.roots)
            return settings
        }
        settings.credentials = try key.files.credentials() ?? (key.showsIdentity ? identity?.credentials : nil)
        if !key.verifies {
            settings.trust = .anybody
        } else if let roots = try key.files.roots() {
            settings.trust = .roots(roots)
        } else if key.isWorkload {
            guard let identity else {
                throw TLSError("a server that is a workload is known by the mesh's roots: give --identity or the file of its authorities")
            }
            identity.verifyWorkloads(&settings)
        } else {
            settings.trust = .system
        }
        return settings
    }

    /// Takes renewed files and a renewed identity into use for new connections.
    func look(_ identity: WorkloadIdentity?, isRenewed: Bool, _ log: Logger) {
        self.identity = identity
        for index in renewed.indices { renewed[index].look(identity, isRenewed: isRenewed, log) }
    }
}
