internal import Glibc
public import TLS

/// A certificate that was just issued, and what goes with it.
public struct IssuedSet: Sendable {
    public var record: IssuedCertificate
    /// The leaf, then what stands between it and a root.
    public var chain: [Certificate]
    /// Whom its owner is to trust.
    public var roots: [Certificate]
    /// Nil = its owner has it: it came with a request.
    public var key: PrivateKey?
    /// It ends earlier than was asked, with the authority that signed it.
    public var isShortened: Bool

    public static let certificateName = "tls.crt"
    public static let keyName = "tls.key"
    public static let rootsName = "ca.crt"

    public func certificatePEM() -> [UInt8] { chain.flatMap { $0.pem() } }
    public func rootsPEM() -> [UInt8] { roots.flatMap { $0.pem() } }

    /// Says before anything is issued why it could not be written to a directory.
    public static func checkPlace(_ path: String) throws(AuthorityError) {
        let directory = PrivateDirectory(path)
        if AuthorityFile.allCases.contains(where: { directory.mode($0.rawValue) != nil }) {
            throw AuthorityError(.input, "\(path) is an authority's directory: name another one for what it issues")
        }
        let parent = path.split(separator: "/").dropLast().joined(separator: "/")
        let place = directory.exists ? path : path.hasPrefix("/") ? "/\(parent)" : parent.isEmpty ? "." : parent
        guard unsafe access(place, W_OK) == 0 else { throw AuthorityError(.system, "\(place) cannot be written, or is not there") }
    }

    /// Writes tls.key (0600), ca.crt and tls.crt, as Kubernetes mounts a `kubernetes.io/tls` secret. The directory is made, 0700, where it
    /// is missing. What is there is replaced, each file whole; `skein run --identity` uses the old set until all three fit together.
    public func write(to path: String) throws(AuthorityError) {
        try Self.checkPlace(path)
        var directory = PrivateDirectory(path)
        try directory.make()
        if let key {
            var bytes: [UInt8]
            do throws(TLSError) { bytes = try key.pem() } catch { throw AuthorityError(.system, "the key", error) }
            defer { Wiping.wipe(&bytes) }
            try directory.write(Self.keyName, bytes)
        }
        try directory.write(Self.rootsName, rootsPEM(), mode: 0o644)
        try directory.write(Self.certificateName, certificatePEM(), mode: 0o644)
    }
}
