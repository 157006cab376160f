internal import ArgumentParser
internal import JOSE

struct JWTCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jwt",
        abstract: "Make tokens and their key set, and look at tokens: to try RequestAuthentication.",
        discussion: """
            An issuer for trying things and for tests, in files: a key, its public set, tokens. A mesh whose users matter has an issuer of
            its own.

            EXAMPLES
              skein jwt keygen --out key.pem                                     a key for ES256
              skein jwt jwks --key key.pem > jwks.json                           its public half, for jwks or jwksUri
              skein jwt issue --key key.pem --issuer me --subject alice > token  a token for an hour
              skein jwt show - < token                                           what it says; nothing is verified
              skein jwt verify --jwks jwks.json - < token                        whether it is believed
            """,
        subcommands: [
            JWTKeygenCommand.self, JWTKeySetCommand.self, JWTIssueCommand.self, JWTShowCommand.self, JWTVerifyCommand.self,
        ])
}

/// An algorithm of a key pair, by its name: HS256 and its like need a secret that both sides have.
struct KeyPairAlgorithm: ExpressibleByArgument {
    let algorithm: SigningAlgorithm

    init(_ algorithm: SigningAlgorithm) { self.algorithm = algorithm }

    init?(argument: String) {
        guard let algorithm = SigningAlgorithm(named: argument), algorithm.family != .hmac else { return nil }
        self.algorithm = algorithm
    }

    static var allValueStrings: [String] { SigningAlgorithm.allCases.filter { $0.family != .hmac }.map(\.description) }

    var defaultValueDescription: String { algorithm.description }
}
