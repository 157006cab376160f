internal import ArgumentParser
internal import JOSE
internal import MeshRuntime
internal import Primitives

struct JWTVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Verify a token with a key set, as a proxy would.",
        discussion: """
            Exits 0 when the signature is that of a key in the set, the time is right, and issuer and audience are those that are asked for.
            Exits 79, with the reason that a proxy would give, when not; 65 when the set cannot be read. A symmetric key (oct) in the set
            is used. Keys of the set that cannot be used are named on standard error.

            EXAMPLES
              skein jwt verify --jwks jwks.json - < token
              skein jwt verify --jwks jwks.json --issuer https://issuer.example --audience shop - < token
            """)

    @OptionGroup var token: TokenArgument

    @Option(help: "File with the key set.", completion: .file(extensions: ["json"]))
    var jwks: String

    @Option(help: "The issuer that it must be of; default any.")
    var issuer: String?

    @Option(parsing: .singleValue, help: "An audience of which one must be named; may be repeated; default any.")
    var audience: [String] = []

    @Option(help: "How far the issuer's clock may be off.")
    var skew = Lifetime(seconds: 60)

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    func run() throws {
        let keys = try readKeys()
        var reader = TokenReader()
        let fault = reader.read(text: try token.text()) ?? fault(reader, keys)
        switch output {
        case .json:
            let reason = fault.map { ",\"reason\":\(JSONText.quote($0.description))" } ?? ""
            let payload = fault == nil ? ",\"payload\":\(SafeText.escaped(json: reader.payloadText.text))" : ""
            print("{\"verified\":\(fault == nil)\(reason)\(payload)}")
        case .text:
            if let fault {
                complain("skein: not verified: \(fault)")
            } else {
                let expiry = reader.expiry.map { "expires \(JWTTimes.text($0, now: CAOptions.now))" } ?? "never expires"
                print("verified: \(reader.algorithm?.description ?? "-"), \(expiry)")
                print("issuer   \(reader.issuer.map { SafeText.clean($0.text) } ?? "-")")
                print("subject  \(reader.subject.map { SafeText.clean($0.text) } ?? "-")")
            }
        }
        if fault != nil { throw ExitStatus.findings }
    }

    private func fault(_ reader: borrowing TokenReader, _ keys: KeySet) -> TokenFault? {
        var verifier = SignatureVerifier()
        if let fault = verifier.verify(reader, with: keys).fault { return fault }
        if let issuer, reader.issuer.map({ Array($0.text.utf8) == Array(issuer.utf8) }) != true { return .unknownIssuer }
        if let fault = reader.timeFault(now: CAOptions.now, skew: skew.seconds) { return fault }
        let named = (0..<reader.audienceCount).map { Array(reader.audience($0).text.utf8) }
        if !audience.isEmpty, !audience.contains(where: { named.contains(Array($0.utf8)) }) { return .audienceNotAllowed }
        return nil
    }

    private func readKeys() throws -> KeySet {
        let bytes = try JWTFiles.read(jwks, bytesMax: JOSELimits().keySetBytes)
        do throws(KeySetFault) {
            let keys = try KeySet.parse(bytes, allowsSymmetric: true)
            for problem in keys.problems { complain("skein: \(jwks): \(problem)") }
            return keys
        } catch {
            complain("skein: \(jwks): \(error)")
            throw ExitStatus.badInput
        }
    }
}
