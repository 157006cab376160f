internal import ArgumentParser
internal import CertificateAuthority
internal import EventLoops
internal import MeshRuntime
internal import Primitives

struct CACommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ca",
        abstract: "The mesh's certificate authority: a directory, and what is issued from it.",
        discussion: """
            A root and an intermediate that signs, in a directory of 0600 files with the names of Istio's cacerts; a directory that istiod
            uses is taken as it is. Whoever may read the directory is the authority; serve answers hosts that may not.

            EXAMPLES
              skein ca init                                     a new authority in ./ca for cluster.local
              skein ca issue default/reviews --out reviews-id   key, certificate and roots of a workload
              skein run --identity reviews-id                   and a proxy that uses them
              skein ca serve --listen 0.0.0.0:15012             hosts get certificates, and renew them themselves
              skein ca token default/reviews                    with this, a host its first: skein run --ca HOST --token FILE
              skein ca sign request.pem --out tls.crt           for a key that stays where it is
              skein ca list                                     what is valid, and until when
              skein ca revoke default/reviews
              skein ca rotate                                   a new intermediate; --root: a new root, the old one trusted too
              skein ca check                                    what will fail, before it does
            """,
        subcommands: [
            CAInitCommand.self, CAServeCommand.self, CATokenCommand.self, CAIssueCommand.self, CASignCommand.self, CAListCommand.self,
            CARevokeCommand.self, CARotateCommand.self, CACheckCommand.self,
        ])
}

/// What all of `skein ca` takes.
struct CAOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "Directory of the authority.", completion: .directory)
    var directory = "ca"

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    /// Seconds since 1970.
    static var now: Int64 { Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000) }

    /// Runs `body`; what the authority refuses is said, with the exit code it has. Keys are in this process' memory from here on, and no
    /// core file has them.
    static func explaining<Result>(_ body: () throws -> Result) throws -> Result {
        ProcessResources.forbidDumps()
        do { return try body() } catch let error as AuthorityError {
            complain("skein: \(error)")
            throw error.kind == .system ? ExitStatus.system : ExitStatus.badInput
        }
    }
}

/// A time such as 24h: a whole number and s, m, h or d.
struct Lifetime: ExpressibleByArgument {
    let seconds: Int64

    init(seconds: Int64) { self.seconds = seconds }

    init?(argument: String) {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": UnixTime.day]
        guard let unit = argument.last.flatMap({ units[$0] }), argument.dropLast().allSatisfy({ $0.isASCII && $0.isNumber }),
            let count = Int64(argument.dropLast())
        else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: unit)
        guard !overflow else { return nil }
        seconds = product
    }

    var defaultValueDescription: String {
        switch seconds {
        case let seconds where seconds % UnixTime.day == 0 && seconds > UnixTime.day: "\(seconds / UnixTime.day)d"
        case let seconds where seconds % 3600 == 0: "\(seconds / 3600)h"
        default: "\(seconds)s"
        }
    }
}

extension IssuedCertificate {
    func json(now: Int64) -> String {
        let revoked = revokedAt.map { ",\"revoked_at\":\(JSONText.quote(UnixTime.text($0)))" } ?? ""
        return "{\"kind\":\"\(kind.rawValue)\",\"names\":[\(names.map(JSONText.quote).joined(separator: ","))],\"serial\":\"\(serial)\","
            + "\"not_before\":\"\(UnixTime.text(notBefore))\",\"not_after\":\"\(UnixTime.text(notAfter))\","
            + "\"state\":\"\(state(now: now).rawValue)\"\(revoked)}"
    }
}
