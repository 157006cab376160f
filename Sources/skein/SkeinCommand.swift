internal import ArgumentParser
internal import Foundation
internal import Primitives

/// The program: `skein SUBCOMMAND`. Data goes to stdout, diagnostics to stderr; exit codes are in `ExitStatus`.
@main
struct SkeinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "skein",
        abstract: "Service-mesh proxy, telemetry collector and trace store in one program.",
        discussion: """
            EXAMPLES
              skein run                               a collector: Zipkin 9411, OTLP 4318 and, over gRPC, 4317
              skein run -c mesh/ --node productpage   a proxy beside one workload
              skein validate mesh/                    check resources, start nothing
              skein analyze --fix mesh/               what does not fit together
              skein explain -c mesh/ http://reviews/  where a request would go, and why
              skein logs -f --status 5xx              follow failing requests
              skein tap --status 5xx                  requests as they pass, and why they fail
              skein traces --service reviews          recent traces of a service
              skein graph                             who calls whom, and how it goes
              skein query 'rate(istio_requests_total[5m])'   metrics, in PromQL
              skein top                               success rates, requests/s and latencies, live
              skein outliers                          what the whole mesh has ejected, and why
              skein canary --route default/reviews    is a canary as good as the stable version?
              skein proxy-config endpoints            what is known of each endpoint
              skein proxy-status                      version, state, configuration
              skein authz check -c mesh/              who may do what at each workload
              skein ca init                           a certificate authority for the mesh
              skein jwt keygen --out key.pem          tokens and their key set, to try RequestAuthentication

            EXIT CODES
              0   success                      69  a server did not answer
              2   explain: nothing routes it   70  the system refused something
              2   canary: roll it back         79  analyze, ca check or jwt verify found something
              3   canary: not decided
              64  wrong usage
              65  bad input or configuration
            """,
        version: Version.text,
        subcommands: [
            RunCommand.self, ValidateCommand.self, AnalyzeCommand.self, ExplainCommand.self, CaptureCommand.self, LogsCommand.self,
            TapCommand.self, TracesCommand.self, GraphCommand.self, QueryCommand.self, TopCommand.self, ProxyConfigCommand.self,
            ProxyStatusCommand.self, InitCommand.self,
            MTLSCommand.self, AuthzCommand.self, OutliersCommand.self, CanaryCommand.self, DemoCommand.self, CACommand.self,
            JWTCommand.self, VersionCommand.self,
        ])

    /// As `ParsableCommand` starts a program, but for a command that does not exist: it is told which one was probably meant.
    static func main() {
        if let word = CommandLine.arguments.dropFirst().first, let advice = advice(for: word) {
            complain(advice)
            Foundation.exit(ExitCode.validationFailure.rawValue)
        }
        main(nil)
    }

    /// What to say to a first word that is no command; nil for a command or an option.
    static func advice(for word: String) -> String? {
        let names = configuration.subcommands.flatMap { [$0.configuration.commandName ?? ""] + $0.configuration.aliases } + ["help"]
        guard !word.hasPrefix("-"), !names.contains(word) else { return nil }
        let meant =
            EditDistance.nearest(to: word, among: names).map { "did you mean `skein \($0)`?" }
            ?? "commands are \(names.sorted().joined(separator: ", "))"
        return "skein: no command \"\(word.prefix(64))\"; \(meant) (skein --help)"
    }
}

/// Exit codes, after sysexits.h. Stable.
enum ExitStatus {
    /// The configuration or another input is wrong.
    static let badInput = ExitCode(65)
    /// `skein canary`: the canary is worse.
    static let rollback = ExitCode(2)
    /// `skein canary`: more requests are needed, or there were none.
    static let undecided = ExitCode(3)
    /// Nobody answered where a running Skein was expected.
    static let unavailable = ExitCode(69)
    /// The system refused a resource: a port in use, a directory not writable.
    static let system = ExitCode(70)
    /// `skein analyze` found something at or above its threshold (istioctl's code for it).
    static let findings = ExitCode(79)
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json
}

enum Version {
    static let number = "0.1.0"
    static let text = "skein \(number)"
}
