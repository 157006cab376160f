@testable import CertificateAuthority
import Foundation
import TLS
import Testing

/// A directory for an authority that is removed with the object, and a day that never changes.
final class AuthorityPlace {
    static let now: Int64 = 1_790_000_000
    static let reviews = "default/reviews"

    let path: String

    init() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("skein-ca-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        path = folder.path + "/ca"
    }

    deinit { try? FileManager.default.removeItem(atPath: (path as NSString).deletingLastPathComponent) }

    /// With a new authority in it.
    static func created(_ kind: PrivateKey.Kind = .ecdsa) throws -> AuthorityPlace {
        let place = try AuthorityPlace()
        _ = try Authority.create(in: place.path, trustDomain: "cluster.local", kind, now: now)
        return place
    }

    func open() throws -> Authority { try Authority(openIn: path) }

    func bytes(_ name: String) -> [UInt8] { FileManager.default.contents(atPath: "\(path)/\(name)").map { Array($0) } ?? [] }

    func put(_ name: String, _ bytes: [UInt8]) throws { try Data(bytes).write(to: URL(fileURLWithPath: "\(path)/\(name)")) }

    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: "\(path)/\(name)") }

    func mode(_ name: String) -> UInt32? { PrivateDirectory(path).mode(name) }

    /// All files, by name.
    var contents: [String: [UInt8]] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return Dictionary(uniqueKeysWithValues: names.map { ($0, bytes($0)) })
    }

    func copy() throws -> AuthorityPlace {
        let other = try AuthorityPlace()
        try FileManager.default.copyItem(atPath: path, toPath: other.path)
        return other
    }
}

/// The authority as the next process finds it, once this one has given back the lock.
func reopened(_ authority: inout Authority, _ place: AuthorityPlace) throws -> Authority {
    authority = try AuthorityPlace.created().open()
    return try place.open()
}

/// Why those who have `roots` would not believe what was issued; nil = they would.
func objection(to issued: IssuedSet, roots: [Certificate], now: Int64 = AuthorityPlace.now) -> String? {
    TrustCheck.problem(of: issued.chain, trusting: .workloads(["cluster.local": roots]), now: now)
}
