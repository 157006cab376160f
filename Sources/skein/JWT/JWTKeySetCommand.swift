internal import ArgumentParser
internal import JOSE

struct JWTKeySetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jwks",
        abstract: "Print the public halves of keys as a key set (JWKS).",
        discussion: """
            What it prints may be read by everybody: it goes into jwks of a RequestAuthentication, or where jwksUri points. To change a key,
            publish the old and the new one together until the last token of the old one has expired.

            EXAMPLES
              skein jwt jwks --key key.pem > jwks.json
              skein jwt jwks --key old.pem --key new.pem > jwks.json
            """)

    @Option(parsing: .singleValue, help: "File with a private key; may be repeated.", completion: .file(extensions: ["pem"]))
    var key: [String]

    @Option(help: "The key's name in the set instead of its thumbprint; for one key.")
    var kid: String?

    @Option(name: .shortAndLong, help: "The one algorithm that the keys are for; default what their type has.")
    var algorithm: KeyPairAlgorithm?

    func validate() throws {
        if key.isEmpty { throw ValidationError("give --key FILE") }
        if kid != nil, key.count > 1 { throw ValidationError("--kid names one key, and there are \(key.count)") }
    }

    func run() throws {
        let keys = try key.map { path in
            let key = try JWTFiles.key(path)
            if let algorithm = algorithm?.algorithm, !key.algorithms.contains(algorithm) {
                let own = key.algorithms.map(\.description).joined(separator: ", ")
                complain("skein: \(path): the key is for \(own), not for \(algorithm)")
                throw ExitStatus.badInput
            }
            // A curve of ECDSA has one algorithm, and saying so costs nothing. An RSA key has six, and Edwards curves two names for theirs.
            return key.publicKey.json(keyID: kid, algorithm: algorithm?.algorithm ?? (key.algorithms.count == 1 ? key.algorithm : nil))
        }
        print("{\"keys\":[\(keys.joined(separator: ","))]}")
    }
}
