internal import ArgumentParser
internal import EventLoops
internal import JOSE
internal import MeshRuntime
internal import TLS

struct JWTKeygenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keygen",
        abstract: "Make a key that signs tokens.",
        discussion: """
            Writes a private key in PEM (PKCS #8) with the mode 0600. Its name in tokens and sets, kid, is its thumbprint (RFC 7638).

            EXAMPLES
              skein jwt keygen --out key.pem
              skein jwt keygen --algorithm RS256 --bits 3072 --out key.pem
              skein jwt keygen --algorithm EdDSA --out key.pem --force
            """)

    @Option(name: .shortAndLong, help: "What the key is to sign with. EdDSA makes a key for Ed25519.")
    var algorithm = KeyPairAlgorithm(.es256)

    @Option(help: "Bits of an RSA key, \(JOSELimits.rsaBits.lowerBound) to \(JOSELimits.rsaBits.upperBound).")
    var bits: Int?

    @Option(help: "The file.", completion: .file(extensions: ["pem"]))
    var out: String

    @Flag(help: "Replace the file if it is there.")
    var force = false

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    private var isRSA: Bool { [.rsa, .rsaPSS].contains(algorithm.algorithm.family) }

    func validate() throws {
        guard let bits else { return }
        if !isRSA { throw ValidationError("--bits is for RSA keys alone; \(algorithm.algorithm) has one size") }
        if !JOSELimits.rsaBits.contains(bits) {
            throw ValidationError("--bits takes \(JOSELimits.rsaBits.lowerBound) to \(JOSELimits.rsaBits.upperBound)")
        }
    }

    func run() throws {
        ProcessResources.forbidDumps()
        let key: SigningKey
        var pem: [UInt8]
        do throws(SigningFault) {
            key = try SigningKey.generate(for: algorithm.algorithm, bits: bits ?? SigningKey.rsaBitsDefault)
            pem = try key.pem()
        } catch {
            complain("skein: no key was made: \(error)")
            throw ExitStatus.system
        }
        defer { Wiping.wipe(&pem) }
        try JWTFiles.write(pem, to: out, force: force)
        let name = key.publicKey.thumbprint
        switch output {
        case .text:
            print("wrote \(out), a key for \(algorithm.algorithm) with kid \(name)")
            print("next: skein jwt jwks --key \(ShellText.quoted(out)) > jwks.json")
        case .json: print("{\"key\":\(JSONText.quote(out)),\"algorithm\":\"\(algorithm.algorithm)\",\"kid\":\"\(name)\"}")
        }
    }
}
