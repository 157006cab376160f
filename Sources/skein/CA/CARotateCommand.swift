internal import ArgumentParser
internal import CertificateAuthority
internal import MeshRuntime
internal import TLS

struct CARotateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate",
        abstract: "Replace the intermediate, or the root.",
        discussion: """
            Needs root-key.pem in the directory. What was issued stays valid, and no connection ends.

            A new root is signed by the old one as well, and the old one stays in ca.crt: workloads with the old roots and with the new ones
            believe each other. Issue new certificates to all of them, or wait until the old ones have expired, then --forget-roots.

            EXAMPLES
              skein ca rotate                   a new intermediate under the same root
              skein ca rotate --root            a new root and intermediate; the old root is trusted too
              skein ca rotate --forget-roots    only the newest root is trusted; refused while old certificates are in use
            """)

    @OptionGroup var options: CAOptions

    @Flag(help: "A new root too.")
    var root = false

    @Flag(help: "Trust the newest root alone.")
    var forgetRoots = false

    @Flag(help: "With --forget-roots: also while certificates under older roots are in use; their owners are cut off.")
    var force = false

    func validate() throws {
        guard !root || !forgetRoots else {
            throw ValidationError("--root and --forget-roots are two steps: all workloads must renew in between")
        }
        guard !force || forgetRoots else { throw ValidationError("--force goes with --forget-roots") }
    }

    func run() throws {
        let now = CAOptions.now
        let authority = try CAOptions.explaining {
            var authority = try Authority(openIn: options.directory)
            if forgetRoots {
                try authority.forgetOldRoots(anyway: force, now: now)
            } else if root {
                try authority.rotateRoot(now: now)
            } else {
                try authority.rotateIntermediate(now: now)
            }
            return authority
        }
        let old = authority.issuedUnderOldRoots(now: now)
        switch options.output {
        case .text:
            print("signing  \(authority.certificate.subject), until \(UnixTime.text(authority.certificate.notAfter))")
            for root in authority.roots { print("trusted  \(root.subject), until \(UnixTime.text(root.notAfter))") }
            if authority.roots.count > 1 {
                let last = old.map(\.notAfter).max().map { ", valid until \(UnixTime.text($0))" } ?? ""
                print("next: renew what is under older roots (\(old.count) in use\(last)), then skein ca rotate --forget-roots")
            }
        case .json:
            let roots = authority.roots.map {
                "{\"subject\":\(JSONText.quote($0.subject)),\"not_after\":\"\(UnixTime.text($0.notAfter))\"}"
            }
            print(
                "{\"intermediate\":{\"subject\":\(JSONText.quote(authority.certificate.subject)),"
                    + "\"not_after\":\"\(UnixTime.text(authority.certificate.notAfter))\"},\"roots\":[\(roots.joined(separator: ","))],"
                    + "\"under_old_roots\":\(old.count)}")
        }
    }
}
