internal import ArgumentParser
internal import MeshRuntime

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say where a request would go, and why.",
        discussion: """
            Asks the same functions that serve traffic: each rule that was looked at with the verdict of every condition, the draw among weighted
            destinations, rewrites, time limits, retries, faults, mirrors, limits and endpoints. Exits 0 when something takes the request, 2 when
            nothing does, 65 when the configuration or the request is wrong.

            EXAMPLES
              skein explain -c mesh/ http://reviews:9080/reviews/1
              skein explain -c mesh/ -H 'end-user: jason' http://reviews:9080/
              skein explain -c mesh/ --node productpage -X POST --seed 7 -o json http://details/
            """)

    @Option(name: [.short, .customLong("config")], parsing: .singleValue, help: "File or directory of YAML; may be repeated.", completion: .file())
    var config: [String]

    @Option(help: "As the proxy of this WorkloadEntry.")
    var node: String?

    @Flag(help: "As a request that arrives for the workload, instead of one that it sends.")
    var inbound = false

    @Option(name: [.customShort("X"), .customLong("request")], help: "Method.")
    var method = "GET"

    @Option(name: [.customShort("H"), .customLong("header")], parsing: .singleValue, help: "Header, `name: value`; may be repeated.")
    var headers: [String] = []

    @Option(help: "Pins the draw among weighted destinations.")
    var seed: UInt64 = 1

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    @Argument(help: "http://host[:port]/path?query")
    var url: String

    func run() throws {
        var request = RequestDescription(url: url)
        request.method = method
        request.isInbound = inbound
        request.seed = seed
        for header in headers {
            guard let colon = header.firstIndex(of: ":") else { throw ValidationError("-H '\(header)': write 'name: value'") }
            let value = header[header.index(after: colon)...].drop { $0 == " " }
            request.headers.append((String(header[..<colon]), String(value)))
        }
        let result = RequestExplanation.run(paths: config, node: node, request)
        if !result.errors.isEmpty {
            for line in result.errors { complain("skein: \(line)") }
            throw ExitStatus.badInput
        }
        switch output {
        case .text: for node in result.nodes { show(node, indent: 0) }
        case .json: print("{\"routed\":\(result.isRouted),\"steps\":[\(result.nodes.map(json).joined(separator: ","))]}")
        }
        if !result.isRouted { throw ExitCode(2) }
    }

    private func show(_ node: RequestExplanation.Node, indent: Int) {
        let style = TerminalStyle.standardOutput
        let key = node.key.count < 18 - indent ? node.key + String(repeating: " ", count: 18 - indent - node.key.count) : node.key
        print(String(repeating: " ", count: indent) + style.paint(key, TerminalStyle.dim) + "  " + node.value)
        for child in node.children { show(child, indent: indent + 2) }
    }

    private func json(_ node: RequestExplanation.Node) -> String {
        var text = "{\"what\":\(JSONText.quote(node.key)),\"value\":\(JSONText.quote(node.value))"
        if !node.children.isEmpty { text += ",\"details\":[\(node.children.map(json).joined(separator: ","))]" }
        return text + "}"
    }
}
