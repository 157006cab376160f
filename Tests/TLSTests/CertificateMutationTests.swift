import Foundation
@testable import TLS
import Testing

/// Certificates and identities from the wire, cut, changed and put together anew: each is refused or read, and what is read holds.
@Suite struct CertificateMutationTests {
    private static let corpus = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Fixtures/Corpus")

    private static func seeds(_ name: String) throws -> [[UInt8]] {
        let directory = corpus.appending(path: name)
        return try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted().map {
            Array(try Data(contentsOf: directory.appending(path: $0)))
        }
    }

    private static func mutated(_ bytes: [UInt8], _ random: inout some RandomNumberGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[place] = [0, 0x7F, 0x80, 0x82, 0xFF].randomElement(using: &random) ?? 0
            case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            case 3: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...8, using: &random)))
            default: bytes.insert(contentsOf: bytes[place...].prefix(16), at: place)
            }
        }
        return bytes
    }

    @Test func certificatesAreReadOrRefused() throws {
        let seeds = try Self.seeds("Certificate")
        #expect(seeds.count >= 3)
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix(state: seed)
        var (read, identities) = (0, 0)
        for round in 0..<20_000 {
            let bytes = Self.mutated(seeds[round % seeds.count], &random)
            guard let certificate = try? Certificate(der: bytes) else { continue }
            read += 1
            for kind in [Certificate.NameKind.email, .dns, .uri, .address] { _ = certificate.alternativeNames(kind) }
            _ = (certificate.subject, certificate.issuer, certificate.serial, certificate.notBefore, certificate.notAfter)
            #expect(certificate.fingerprint.count == 32, "seed \(seed), round \(round)")
            guard let id = try? SVIDRules.identity(of: certificate, as: .client) else { continue }
            identities += 1
            let names = certificate.alternativeNames(.uri)
            #expect(names.count == 1 && Array(id.description.utf8) == names[0] && !certificate.isAuthority, "seed \(seed), round \(round)")
        }
        #expect(read > 100 && identities > 10, "seed \(seed): \(read) read, \(identities) identities")
    }

    @Test func identitiesAreTheSameBytesAgain() throws {
        let seeds = try Self.seeds("SPIFFEID")
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix(state: seed)
        var read = 0
        for round in 0..<50_000 {
            let bytes = Self.mutated(seeds[round % seeds.count], &random)
            guard let id = try? SPIFFEID(bytes) else { continue }
            read += 1
            #expect(Array(id.description.utf8) == bytes, "seed \(seed), round \(round)")
            #expect(!bytes.contains(0) && !id.path.contains("//") && !id.path.hasSuffix("/"), "seed \(seed), round \(round)")
        }
        #expect(read > 100, "seed \(seed)")
    }
}

/// A seeded source, so that a failure can be had again.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
