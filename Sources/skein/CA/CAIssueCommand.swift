internal import ArgumentParser
internal import CertificateAuthority
internal import MeshRuntime

struct CAIssueCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "issue",
        abstract: "Make a key and a certificate for a workload or a server.",
        discussion: """
            Writes tls.key (0600), tls.crt and ca.crt into a directory, as Kubernetes mounts them and skein run --identity reads them. What
            is there is replaced: run it again to renew.

            EXAMPLES
              skein ca issue default/reviews --out reviews-id
              skein ca issue spiffe://cluster.local/ns/default/sa/reviews --out reviews-id --lifetime 12h
              skein ca issue --server shop.example.org 10.0.0.7 --out edge-tls --lifetime 90d
            """)

    @OptionGroup var options: CAOptions

    @Argument(help: "NAMESPACE/SERVICE-ACCOUNT, or a whole SPIFFE ID.")
    var identity: String?

    @Option(parsing: .upToNextOption, help: "Instead of an identity: host names and addresses of a server.")
    var server: [String] = []

    @Option(help: "Directory for key, certificate and roots; made when missing.", completion: .directory)
    var out: String

    @Option(help: "How long the certificate is valid, such as 24h; 366d at most.")
    var lifetime = Lifetime(seconds: Authority.leafSecondsDefault)

    func validate() throws {
        guard (identity == nil) != server.isEmpty else {
            throw ValidationError("name an identity, such as default/reviews, or a server with --server NAME")
        }
    }

    func run() throws {
        let issued = try CAOptions.explaining {
            try IssuedSet.checkPlace(out)
            var authority = try Authority(openIn: options.directory)
            let made =
                if let identity {
                    try authority.issue(to: authority.identity(identity), seconds: lifetime.seconds, now: CAOptions.now)
                } else {
                    try authority.issue(toServer: server, seconds: lifetime.seconds, now: CAOptions.now)
                }
            try made.write(to: out)
            return made
        }
        if issued.isShortened { complain("skein: it ends with the authority that signed it, earlier than asked: skein ca rotate") }
        switch options.output {
        case .text:
            print("issued \(issued.record.names.joined(separator: ", ")) until \(UnixTime.text(issued.record.notAfter))")
            print("wrote \(IssuedSet.keyName), \(IssuedSet.certificateName) and \(IssuedSet.rootsName) into \(out)")
        case .json: print("{\"directory\":\(JSONText.quote(out)),\"certificate\":\(issued.record.json(now: CAOptions.now))}")
        }
    }
}
