internal import ArgumentParser
internal import CertificateAuthority
internal import MeshRuntime

struct CARevokeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke",
        abstract: "Take certificates back before their end.",
        discussion: """
            Adds them to ca-crl.pem, a signed list (RFC 5280). Proxies with skein run --ca look at it every minute: they refuse who is on
            it, and end the connections that are open. Proxies without --ca do not: what they hold to is the end of a certificate, 24 hours
            by default. Nothing is renewed by a certificate that is on the list; tokens are another matter.

            EXAMPLES
              skein ca revoke default/reviews        all of an identity that are valid
              skein ca revoke 5f3a91c2               the one whose serial number begins so
              skein ca revoke shop.example.org       all of a server's name
            """)

    @OptionGroup var options: CAOptions

    @Argument(help: "Serial number (eight digits or more), identity, or a server's name.")
    var certificate: String

    func run() throws {
        let now = CAOptions.now
        let (revoked, unlisted) = try CAOptions.explaining {
            var authority = try Authority(openIn: options.directory)
            let revoked = try authority.revoke(certificate, now: now)
            return (revoked, revoked.filter { !authority.isListed($0) })
        }
        for record in unlisted {
            complain("skein: \(record.serial) is not in ca-crl.pem: an earlier intermediate signed it, whose key is gone")
        }
        switch options.output {
        case .text:
            for record in revoked {
                print("revoked \(record.serial) of \(record.names.joined(separator: ", ")), valid until \(UnixTime.text(record.notAfter))")
            }
        case .json: print("{\"revoked\":[\(revoked.map { $0.json(now: now) }.joined(separator: ","))]}")
        }
    }
}
