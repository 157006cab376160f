internal import ArgumentParser
internal import Foundation
internal import HTTPService
internal import MeshRuntime

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say where a request would go, and why.",
        discussion: """
            Asks the same functions that serve traffic: each rule that was looked at with the verdict of every condition, the draw among
            weighted destinations, rewrites, time limits, retries, faults, mirrors, limits and endpoints, and with --inbound or at a gateway
            what AuthorizationPolicies say. Exits 0 when something takes the request, 2 when nothing does or a policy refuses it, 65 when
            the configuration or the request is wrong.

            EXAMPLES
              skein explain -c mesh/ http://reviews:9080/reviews/1
              skein explain -c mesh/ -H 'end-user: jason' http://reviews:9080/
              skein explain -c mesh/ --node productpage -X POST --seed 7 -o json http://details/
              skein explain -c mesh/ --node web --inbound --principal cluster.local/ns/shop/sa/cart http://web/   may it?
              skein explain --server 127.0.0.1:15000 http://reviews:9080/   with ejections and what is held now
              skein explain --request-id 2f1c0a9e-6a4b-4f0e-9a51-0d6a3c1f7b11
            """)

    @Option(
        name: [.short, .customLong("config")], parsing: .singleValue,
        help: "File or directory of YAML, - for standard input; may be repeated.", completion: .file())
    var config: [String] = []

    @Flag(name: [.customShort("R"), .customLong("recursive")], help: "Read the subdirectories of directories as well.")
    var isRecursive = false

    @Option(help: "As the proxy of this WorkloadEntry.")
    var node: String?

    @Flag(help: "As a proxy that has an identity (skein run --identity).")
    var withIdentity = false

    @Flag(help: "As a request that arrives for the workload, instead of one that it sends.")
    var inbound = false

    @Option(name: [.customShort("X"), .customLong("request")], help: "Method.")
    var method = "GET"

    @Option(name: [.customShort("H"), .customLong("header")], parsing: .singleValue, help: "Header, `name: value`; may be repeated.")
    var headers: [String] = []

    @Option(help: "Who sends it, by a certificate of the mesh: cluster.local/ns/NAMESPACE/sa/ACCOUNT; default nobody.")
    var principal = ""

    @Option(name: .customLong("source-ip"), help: "The address it comes from; default 127.0.0.1.")
    var sourceAddress = ""

    @Option(help: "Pins the draw among weighted destinations.")
    var seed: UInt64 = 1

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    @Option(help: "Ask the running Skein at this admin address (127.0.0.1:15000) instead of files.")
    var server: String?

    @OptionGroup(title: "TLS OF THE SERVER") var tls: ServerTLSOptions

    @Option(help: "What became of the request with this x-request-id; asks a running Skein.")
    var requestID: String?

    @Option(name: .customLong("trace"), help: "What became of the requests of this trace; asks a running Skein.")
    var traceID: String?

    @Argument(help: "http://host[:port]/path?query")
    var url: String?

    func validate() throws {
        let isServed = requestID != nil || traceID != nil
        if isServed ? url != nil || !config.isEmpty : url == nil {
            throw ValidationError("give either a URL, or --request-id or --trace of a served request")
        }
        if server != nil, !config.isEmpty { throw ValidationError("give either -c or --server") }
        if !isServed, server == nil, config.isEmpty { throw ValidationError("give -c FILES, or --server ADDRESS:PORT of a running Skein") }
    }

    func run() throws {
        if server != nil || requestID != nil || traceID != nil {
            try ask()
            return
        }
        var request = RequestDescription(url: url ?? "")
        request.method = method
        request.isInbound = inbound
        request.seed = seed
        request.principal = principal
        request.sourceAddress = sourceAddress
        for header in headers {
            guard let colon = header.firstIndex(of: ":") else { throw ValidationError("-H '\(header)': write 'name: value'") }
            let value = header[header.index(after: colon)...].drop { $0 == " " }
            request.headers.append((String(header[..<colon]), String(value)))
        }
        let result = RequestExplanation.run(
            from: SourceOptions.source(config, isRecursive: isRecursive), node: node, request, hasIdentity: withIdentity)
        if !result.errors.isEmpty {
            for line in result.errors { complain("skein: \(line)") }
            throw ExitStatus.badInput
        }
        switch output {
        case .text: for node in result.nodes { show(node, indent: 0) }
        case .json: print(result.json)
        }
        if !result.isRouted { throw ExitCode(2) }
    }

    private func show(_ node: RequestExplanation.Node, indent: Int) {
        let style = TerminalStyle.standardOutput
        let key = node.key.count < 18 - indent ? node.key + String(repeating: " ", count: 18 - indent - node.key.count) : node.key
        print(String(repeating: " ", count: indent) + style.paint(key, TerminalStyle.dim) + "  " + node.value)
        for child in node.children { show(child, indent: indent + 2) }
    }

    // MARK: Asking a running process

    private struct Answer: Decodable {
        struct Step: Decodable {
            var what: String
            var value: String
            var details: [Step]?

            var node: RequestExplanation.Node { RequestExplanation.Node(what, value, (details ?? []).map(\.node)) }
        }
        var routed: Bool
        var steps: [Step]
    }

    private func ask() throws {
        let client = try tls.client(of: server, defaultPort: 15000)
        let response = try calling(client) { try $0.send("GET", target) }
        guard response.header("content-type") == "application/json",
            let answer = try? JSONDecoder().decode(Answer.self, from: Data(response.body))
        else {
            complain("skein: \(String(decoding: response.body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))")
            throw response.status == 404 ? ExitCode(2) : ExitStatus.badInput
        }
        switch output {
        case .text: for step in answer.steps { show(step.node, indent: 0) }
        case .json: print(String(decoding: response.body, as: UTF8.self), terminator: "")
        }
        if !answer.routed { throw ExitCode(2) }
    }

    private var target: String {
        var parameters: [(String, String)] = []
        if let requestID {
            parameters = [("request-id", requestID)]
        } else if let traceID {
            parameters = [("trace-id", traceID)]
        } else {
            parameters = [("url", url ?? ""), ("method", method), ("seed", "\(seed)")] + headers.map { ("header", $0) }
            if inbound { parameters.append(("inbound", "true")) }
            if !principal.isEmpty { parameters.append(("principal", principal)) }
            if !sourceAddress.isEmpty { parameters.append(("source-ip", sourceAddress)) }
        }
        return "/explain?"
            + parameters.map { "\($0.0)=\($0.1.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")" }.joined(separator: "&")
    }
}
