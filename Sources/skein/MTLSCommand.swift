internal import ArgumentParser
internal import Foundation
internal import HTTPService

struct MTLSCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mtls", abstract: "Mutual TLS between workloads.", subcommands: [MTLSReportCommand.self])
}

struct MTLSReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Say which workloads may be set to STRICT, and who stands in the way.",
        discussion: """
            Asks the running Skein's store who has come without TLS to ports that take both (PeerAuthentication PERMISSIVE), and how
            much has come with mutual TLS. A workload may be STRICT when nobody has come without, for as long as --range says: make
            it longer than your rarest job waits. Exits 1 when somebody stands in the way of a workload.

            EXAMPLES
              skein mtls report
              skein mtls report --range 30d
              skein mtls report -o json --server 127.0.0.1:9411
            """)

    @Option(help: "Look back so far, e.g. 24h, 7d.")
    var range = "7d"

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    @OptionGroup var server: ServerOptions

    func run() throws {
        guard let seconds = TracesCommand.microseconds(range).map({ Double($0) / 1e6 }), seconds >= 60 else {
            throw ValidationError("--range \(range): write 24h or 7d; a minute at least")
        }
        let window = "[\(Int(seconds))s]"
        let client = try server.client(defaultPort: Environment.port("QUERY_PORT") ?? 9411)
        let workload = "destination_workload,destination_workload_namespace"
        let caller = "source,\(workload),destination_port,protocol"
        let last = "max by (\(caller)) (max_over_time(skein_plaintext_last_timestamp_seconds\(window)))"
        let count = "sum by (\(caller)) (max_over_time(skein_plaintext_connections_total\(window)))"
        let secured = #"reporter="destination",connection_security_policy="mutual_tls""#
        let http = "sum by (\(workload)) (max_over_time(istio_requests_total{\(secured)}\(window)))"
        let tcp = "sum by (\(workload)) (max_over_time(istio_tcp_connections_opened_total{\(secured)}\(window)))"
        let report = MTLSReport(
            last: try ask(client, last), counts: try ask(client, count), secured: try ask(client, http) + ask(client, tcp),
            since: Date().timeIntervalSince1970 - seconds)
        switch output {
        case .json: print(try report.json(range: range))
        case .text: for line in report.lines(range: range, style: .standardOutput) { print(line) }
        }
        if report.workloads.contains(where: { !$0.callers.isEmpty }) { throw ExitCode(1) }
    }

    private func ask(_ client: HTTPClient, _ expression: String) throws -> [PrometheusAnswer.Series] {
        let response = try calling(client) { try $0.send("GET", "/api/v1/query?query=\(TracesCommand.encode(expression))") }
        guard let answer = try? JSONDecoder().decode(PrometheusAnswer.self, from: Data(response.body)), answer.status == "success",
            case .vector(let series) = answer.data
        else {
            complain("skein: no answer from the store: \(String(decoding: response.body.prefix(400), as: UTF8.self))")
            throw ExitStatus.unavailable
        }
        return series
    }
}
