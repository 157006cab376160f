internal import Glibc
public import TLS

/// A host's directory of its workload's key, certificate and roots, as `skein run --identity` reads it: written by the host itself, from
/// what its authority answers. Files that belong together are replaced together; 0700 and 0600. Confined to one thread at a time.
public struct IdentityFiles: Sendable {
    public static let listsName = "ca.crl"
    /// The key of a request that has no answer yet.
    private static let pendingName = "pending.key"
    private static let together = [IssuedSet.keyName, IssuedSet.rootsName, IssuedSet.certificateName]

    public let path: String
    /// For tests, as `PrivateDirectory` has it.
    private let stepsLeft: Int?

    public init(_ path: String) { self.init(path, stepsLeft: nil) }

    init(_ path: String, stepsLeft: Int?) {
        self.path = path
        self.stepsLeft = stepsLeft
    }

    /// Makes the directory and those above where they are missing, 0700; finishes what a process began that was stopped.
    public func prepare() throws(AuthorityError) {
        var directory = directory
        var above = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/").dropLast() {
            above += "/\(part)"
            unsafe mkdir(above, 0o700)
        }
        try IssuedSet.checkPlace(path)
        try directory.make()
        try locked { (_) throws(AuthorityError) in }
    }

    /// The key of the request that was made last, or a new one that is kept: the same key may ask again where an answer was lost.
    public func pendingKey(_ kind: PrivateKey.Kind = .ecdsa) throws(AuthorityError) -> PrivateKey {
        var bytes = try directory.read(Self.pendingName, bytesMax: PrivateKey.pemBytesMax) ?? []
        defer { Wiping.wipe(&bytes) }
        if !bytes.isEmpty, let key = try? PrivateKey(pem: bytes) { return key }
        do throws(TLSError) {
            let key = try PrivateKey.generate(kind)
            bytes = try key.pem()
            try keep(bytes)
            return key
        } catch {
            throw AuthorityError(.system, "a new key", error)
        }
    }

    private func keep(_ bytes: [UInt8]) throws(TLSError) {
        do throws(AuthorityError) {
            try locked { (directory) throws(AuthorityError) in try directory.write(Self.pendingName, bytes) }
        } catch {
            throw TLSError("\(error)")
        }
    }

    /// A new certificate with its key, and whom to trust: all three, or none.
    public func replace(_ credentials: TLSCredentials, roots: [Certificate]) throws(AuthorityError) {
        var key: [UInt8]
        do throws(TLSError) { key = try credentials.key.pem() } catch { throw AuthorityError(.system, "the key", error) }
        defer { Wiping.wipe(&key) }
        let files = [
            (name: IssuedSet.keyName, bytes: key), (name: IssuedSet.rootsName, bytes: roots.flatMap { $0.pem() }),
            (name: IssuedSet.certificateName, bytes: credentials.chain.flatMap { $0.pem() }),
        ]
        try locked { (directory) throws(AuthorityError) in try directory.replace(files) }
        unsafe unlink("\(path)/\(Self.pendingName)")
    }

    /// Roots, the certificate staying as it is.
    public func write(roots: [Certificate]) throws(AuthorityError) {
        let bytes = roots.flatMap { $0.pem() }
        try locked { (directory) throws(AuthorityError) in try directory.write(IssuedSet.rootsName, bytes) }
    }

    /// Lists of revoked certificates, PEM.
    public func write(lists: [UInt8]) throws(AuthorityError) {
        try locked { (directory) throws(AuthorityError) in try directory.write(Self.listsName, lists) }
    }

    /// What was written last; nil = nothing.
    public func lists() throws(AuthorityError) -> [UInt8]? {
        try directory.read(Self.listsName, bytesMax: RevocationLists.pemBytesMax)
    }

    private var directory: PrivateDirectory { PrivateDirectory(path, members: Self.together, stepsLeft: stepsLeft) }

    /// Two processes of a host may have the directory: one that takes over from the other.
    private func locked(_ body: (inout PrivateDirectory) throws(AuthorityError) -> Void) throws(AuthorityError) {
        var directory = directory
        guard let lock = try directory.lock() else { throw AuthorityError(.system, "\(path) cannot be written") }
        defer { withExtendedLifetime(lock) {} }
        try body(&directory)
    }
}
