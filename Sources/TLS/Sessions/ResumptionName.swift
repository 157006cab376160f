internal import COpenSSL

extension TLSSettings {
    /// Has a server go on with sessions that began under the same settings: as the same server, with clients judged by the same rules.
    /// `server`: who it is, such as its SPIFFE id. Set after everything else.
    public mutating func resumeSessions(of server: String, with keys: TicketKeys) {
        ticketKeys = keys
        var digest = ResumptionDigest()
        digest.add(Array(server.utf8))
        digest.add(Array("\(clientCertificate)".utf8))
        switch trust {
        case .anybody: digest.add([0])
        case .system: digest.add([1])
        case .roots(let roots):
            digest.add([2])
            digest.add(roots)
        case .workloads(let bundles):
            digest.add([3])
            for (domain, roots) in bundles.sorted(by: { $0.key < $1.key }) {
                digest.add(Array(domain.utf8))
                digest.add(roots)
            }
        }
        // A session goes on without a look at the client's certificate: not under other lists than it began with.
        digest.add(revocations?.fingerprint ?? [])
        resumptionContext = digest.value()
    }
}

/// SHA-256 over parts, each behind its length.
private struct ResumptionDigest {
    private var bytes: [UInt8] = []

    mutating func add(_ part: [UInt8]) {
        unsafe withUnsafeBytes(of: UInt64(part.count).bigEndian) { unsafe bytes.append(contentsOf: $0) }
        bytes += part
    }

    /// In any order: the same roots are the same trust.
    mutating func add(_ roots: [Certificate]) {
        for root in roots.map({ $0.der() }).sorted(by: { $0.lexicographicallyPrecedes($1) }) { add(root) }
    }

    func value() -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        // An empty name resumes nothing, which is what a failure must come to.
        return unsafe EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil) == 1 ? digest : []
    }
}
