import Foundation
@testable import JOSE
import Primitives
import Testing

/// What fuzzing begins with, and whatever it found: read or refused, by everything that reads bytes from outside.
@Suite struct CorpusTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Fixtures/Corpus")

    @Test(arguments: ["JWT", "Base64URL", "JWKSet"]) func isReadOrRefused(name: String) throws {
        let files = try FileManager.default.contentsOfDirectory(at: Self.folder.appending(path: name), includingPropertiesForKeys: nil)
        #expect(files.count >= 5)
        let help = TokenHelp()
        for file in files {
            let bytes = [UInt8](try Data(contentsOf: file))
            let fault = bytes.withLentBytes { help.reader.read($0) }
            #expect((fault == nil) == help.reader.isRead, "\(file.lastPathComponent)")
            if let set = try? KeySet.parse(bytes, allowsSymmetric: true) { #expect(set.count > 0) }
            var buffer = ByteBuffer()
            if bytes.withLentBytes({ Base64URL.decode($0, into: &buffer) }) {
                #expect(Array(Base64URL.encode(buffer.contents).utf8) == bytes, "\(file.lastPathComponent)")
            }
        }
    }
}
