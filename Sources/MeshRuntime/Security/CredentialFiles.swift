internal import Glibc
internal import MeshConfig
internal import Routing
internal import TLS

/// What one end of TLS shows and whom it believes. A value.
struct CredentialSet: Sendable {
    /// One, or two with keys of different kinds; none where the process' own identity is shown.
    var certificates: [TLSCredentials] = []
    /// Authorities of the other end; empty = a server asks for no certificates, a client believes the system's, or the mesh's count.
    var roots: [Certificate] = []
    var revocations: RevocationLists?

    /// Seconds since 1970.
    var notAfter: Int64 { certificates.flatMap(\.chain).map(\.notAfter).min() ?? .max }

    func isSame(as other: CredentialSet) -> Bool {
        certificates.map(\.chain) == other.certificates.map(\.chain) && roots == other.roots && revocations == other.revocations
    }
}

/// The files that credentials are in: paths that the configuration names, or directories below the one of `--credentials`, as
/// Kubernetes mounts secrets. A value; read whole, so that files that do not belong together are no credentials.
struct CredentialFiles: Hashable {
    /// Files of one purpose, the first that is there is read.
    private var pairs: [[ServerTLS.Pair]]
    private var authorities: [String]
    private var revocations: [String]
    /// The other end is believed by authorities of a file.
    private var hasAuthorities: Bool
    /// Where the authorities would have to be, for people.
    private var name: String

    /// Names in a directory: of a TLS secret, and of a generic one.
    private static let pairNames = [("tls.crt", "tls.key"), ("cert", "key")]
    private static let authorityNames = ["ca.crt", "cacert"]
    private static let revocationNames = ["ca.crl", "crl"]

    /// `directory`: of the credentials. Throws when `tls` names some and there is no directory.
    init(_ tls: ServerTLS, directory: String?) throws(TLSError) {
        let isOwn = tls.mode == .istioMutual
        // ISTIO_MUTUAL takes authorities from the mesh.
        hasAuthorities = tls.asksClients && !isOwn
        let names = tls.credentialNames + (tls.caCredentialName.isEmpty ? [] : [tls.caCredentialName])
        guard names.isEmpty || directory != nil else {
            throw TLSError("the credential \(names[0]) is not there: start with --credentials DIRECTORY")
        }
        func place(_ name: String) -> String { "\(directory ?? "")/\(CredentialName.plain(name))" }
        if isOwn {
            pairs = []
        } else if tls.credentialNames.isEmpty {
            pairs = tls.pairs.map { [$0] }
        } else {
            pairs = tls.credentialNames.map { name in
                Self.pairNames.map { ServerTLS.Pair(certificate: "\(place(name))/\($0.0)", key: "\(place(name))/\($0.1)") }
            }
        }
        let places: [String]
        if !tls.caCredentialName.isEmpty {
            places = [place(tls.caCredentialName)]
        } else {
            // As Istio looks: a secret of the authorities' own first.
            places = tls.credentialNames.first.map { ["\(place($0))-cacert", place($0)] } ?? []
        }
        authorities = !hasAuthorities ? []
            : places.isEmpty ? [tls.authorities] : places.flatMap { place in Self.authorityNames.map { "\(place)/\($0)" } }
        revocations = !tls.asksClients ? []
            : places.isEmpty || isOwn ? [tls.revocations].filter { !$0.isEmpty }
            : places.flatMap { place in Self.revocationNames.map { "\(place)/\($0)" } }
        name = names.first.map { "the credential \($0)" } ?? pairs.first?.first?.certificate ?? "its revocation list"
    }

    /// Of connections to endpoints under a DestinationRule; nil = there are none to be read.
    init?(_ security: UpstreamSecurity, directory: String?) throws(TLSError) {
        guard security.mode != .istioMutual else { return nil }
        let client = Client(
            isMutual: security.mode == .mutual, pair: ServerTLS.Pair(certificate: security.certificate, key: security.key),
            authorities: security.authorities, revocations: security.revocations, credential: security.credentialName,
            verifies: !security.skipsVerification)
        try self.init(client, directory)
    }

    /// Of a client of this process' own, by the settings that the mesh has for it; nil = there are none to be read.
    init?(_ settings: ClientTLSSettings, directory: String?) throws(TLSError) {
        guard settings.mode == .simple || settings.mode == .mutual else { return nil }
        let client = Client(
            isMutual: settings.mode == .mutual, pair: ServerTLS.Pair(certificate: settings.clientCertificate, key: settings.privateKey),
            // istiod's word for the system's authorities.
            authorities: settings.caCertificates == "system" ? "" : settings.caCertificates, revocations: settings.caCrl,
            credential: settings.credentialName, verifies: !settings.skipsVerification)
        try self.init(client, directory)
    }

    /// What a client's files are told by; paths and the credential's name are empty where there are none.
    private struct Client {
        var isMutual: Bool
        var pair: ServerTLS.Pair
        var authorities: String
        var revocations: String
        var credential: String
        var verifies: Bool
    }

    private init?(_ client: Client, _ directory: String?) throws(TLSError) {
        let credential = client.credential
        guard credential.isEmpty || directory != nil else {
            throw TLSError("the credential \(credential) is not there: start with --credentials DIRECTORY")
        }
        let place = "\(directory ?? "")/\(CredentialName.plain(credential))"
        pairs = []
        if client.isMutual, credential.isEmpty {
            pairs = [[client.pair]]
        } else if client.isMutual {
            pairs = [Self.pairNames.map { ServerTLS.Pair(certificate: "\(place)/\($0.0)", key: "\(place)/\($0.1)") }]
        }
        hasAuthorities = client.verifies && !(credential.isEmpty && client.authorities.isEmpty)
        authorities = []
        if hasAuthorities {
            let named = ["\(place)-cacert", place].flatMap { place in Self.authorityNames.map { "\(place)/\($0)" } }
            authorities = credential.isEmpty ? [client.authorities] : named
        }
        let isListed = credential.isEmpty && !client.revocations.isEmpty && client.verifies
        revocations = isListed ? [client.revocations] : []
        name = credential.isEmpty ? client.pair.certificate : "the credential \(credential)"
        if name.isEmpty { name = client.authorities }
        if paths.isEmpty { return nil }
    }

    /// For people.
    var description: String { name }

    /// All files that may be there.
    var paths: [String] { pairs.flatMap { $0 }.flatMap { [$0.certificate, $0.key] } + authorities + revocations }

    /// Reads and checks. What an operator should mend is added to `warnings`.
    func load(warnings: inout [String]) throws(TLSError) -> CredentialSet {
        var found = CredentialSet()
        for candidates in pairs {
            let there = candidates.first { Self.isThere($0.certificate) }
            guard let pair = there ?? candidates.first else { continue }
            found.certificates.append(
                try SecretFile.credentials(certificate: pair.certificate, key: pair.key, warnings: &warnings))
        }
        if hasAuthorities {
            // Of one path reading says best what is wrong with it.
            guard let path = authorities.count == 1 ? authorities.first : authorities.first(where: Self.isThere) else {
                throw TLSError("no authorities: expected is \(authorities.joined(separator: " or "))")
            }
            found.roots = try Self.read(path) { bytes throws(TLSError) in try Certificate.chain(pem: bytes) }
        }
        if let path = revocations.first(where: Self.isThere) {
            found.revocations = try Self.read(path) { bytes throws(TLSError) in try RevocationLists(pem: bytes) }
        } else if revocations.count == 1 {
            throw TLSError("\(revocations[0]): there is no such file")
        }
        return found
    }

    private static func read<Value>(_ path: String, _ parse: ([UInt8]) throws(TLSError) -> Value) throws(TLSError) -> Value {
        let bytes = try SecretFile.read(path, bytesMax: RevocationLists.pemBytesMax)
        do throws(TLSError) { return try parse(bytes) } catch { throw TLSError("\(path): \(error)") }
    }

    static func isThere(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }
}
