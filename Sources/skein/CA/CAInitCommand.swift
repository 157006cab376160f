internal import ArgumentParser
internal import CertificateAuthority
internal import MeshRuntime
internal import TLS

struct CAInitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make a new authority.",
        discussion: """
            Writes a root (ten years), an intermediate that signs (a year) and their keys into a directory, and overwrites nothing. The
            root's key, root-key.pem, is needed to rotate alone: keep it elsewhere, and put it back for that.

            EXAMPLES
              skein ca init
              skein ca init --directory /etc/skein/ca --trust-domain example.org
              skein ca init --rsa --lifetime 1825d
            """)

    @OptionGroup var options: CAOptions

    @Option(help: "Trust domain of all identities; Istio's default.")
    var trustDomain = Authority.trustDomainDefault

    @Flag(help: "RSA keys of 3072 bits instead of ECDSA P-256, also for what is issued.")
    var rsa = false

    @Option(help: "How long the root is valid, such as 3650d.")
    var lifetime = Lifetime(seconds: 3650 * UnixTime.day)

    func run() throws {
        let authority = try CAOptions.explaining {
            try Authority.create(
                in: options.directory, trustDomain: trustDomain, rsa ? .rsa(bits: 3072) : .ecdsa, rootSeconds: lifetime.seconds,
                now: CAOptions.now)
        }
        let (root, signing) = (authority.root, authority.certificate)
        switch options.output {
        case .text:
            print("authority for \(authority.trustDomain) in \(options.directory)")
            print("root          \(root.subject), until \(UnixTime.text(root.notAfter))")
            print("intermediate  \(signing.subject), until \(UnixTime.text(signing.notAfter))")
            let option = options.directory == "ca" ? "" : " --directory \(ShellText.quoted(options.directory))"
            print("next: skein ca serve\(option), then for each host: skein ca token\(option) NAMESPACE/SERVICE-ACCOUNT --out FILE")
            print("      skein ca issue\(option) NAMESPACE/SERVICE-ACCOUNT --out DIRECTORY needs no server; keep root-key.pem elsewhere")
        case .json:
            print(
                "{\"directory\":\(JSONText.quote(options.directory)),\"trust_domain\":\(JSONText.quote(authority.trustDomain)),"
                    + "\"root\":{\"subject\":\(JSONText.quote(root.subject)),\"serial\":\"\(root.serial)\","
                    + "\"not_after\":\"\(UnixTime.text(root.notAfter))\"},"
                    + "\"intermediate\":{\"subject\":\(JSONText.quote(signing.subject)),\"serial\":\"\(signing.serial)\","
                    + "\"not_after\":\"\(UnixTime.text(signing.notAfter))\"}}")
        }
    }
}
