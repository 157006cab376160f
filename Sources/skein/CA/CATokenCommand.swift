internal import ArgumentParser
internal import CertificateAuthority
internal import MeshRuntime

struct CATokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Make a token with which one host gets a workload's first certificate.",
        discussion: """
            Prints the token, or writes it into a new file (0600) with --out. It is good once, for this workload, within --ttl, and names
            the authority's root: whoever uses it shows it to no other server. Take it to the host in a way that nobody else can read.

            EXAMPLES
              skein ca token default/reviews --out reviews.token
              skein run --ca ca.example.org --token reviews.token     on the host of the workload
              skein ca token default/reviews --ttl 10m -o json
            """)

    @OptionGroup var options: CAOptions

    @Argument(help: "NAMESPACE/SERVICE-ACCOUNT, or a whole SPIFFE ID.")
    var identity: String

    @Option(help: "How long the token can be used, such as 1h; 7d at most.")
    var ttl = Lifetime(seconds: Authority.tokenSecondsDefault)

    @Option(help: "File for the token; it must not be there yet.", completion: .file())
    var out: String?

    func run() throws {
        let token = try CAOptions.explaining {
            if let out { try TokenFile.checkPlace(out) }
            var authority = try Authority(openIn: options.directory)
            let token = try authority.makeToken(for: authority.identity(identity), seconds: ttl.seconds, now: CAOptions.now)
            if let out { try TokenFile.write(token, to: out) }
            return token
        }
        let end = UnixTime.text(token.expiresAt)
        switch options.output {
        case .text:
            guard let out else { return print(token.text) }
            print("wrote a token for \(token.identity) into \(out), good once until \(end)")
        case .json:
            let secret = out == nil ? ",\"token\":\(JSONText.quote(token.text))" : ""
            print(
                "{\"id\":\"\(token.id)\",\"identity\":\(JSONText.quote("\(token.identity)")),\"expires\":\"\(end)\"\(secret)}")
        }
    }
}
