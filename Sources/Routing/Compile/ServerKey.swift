internal import MeshConfig
internal import Primitives

extension ServerTLS {
    /// What must stay the same for a connection to go on under another configuration: the server, by the names that it is known by, and
    /// whom it lets in. Never 0.
    func key(of server: [String]) -> UInt64 {
        var parts = server + [mode.rawValue]
        if asksClients {
            parts += [credentialNames.first ?? "", caCredentialName, authorities, revocations]
            parts += [subjectAltNames, publicKeyHashes, certificateHashes].map { $0.joined(separator: ",") }
        }
        let bytes = Array(parts.joined(separator: "\n").utf8)
        return max(1, ByteHash.hash(bytes, 0..<bytes.count))
    }
}
