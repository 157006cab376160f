internal import ArgumentParser
internal import EventLoops
internal import Foundation
internal import HTTPService
internal import Primitives

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Run a small mesh: an application of four services behind real proxies, with traffic.",
        discussion: """
            Starts the bookinfo application, one proxy for each of its five workloads, a collector that they send their spans to, and a client
            that visits the page. Everything listens on loopback addresses (127.0.0.1 and 127.0.1.1 to 127.0.1.5). Ctrl-C stops all of it.
            """)

    @Option(help: "Directory of the demo's configuration.", completion: .directory)
    var quickstart = "Config/quickstart"

    @Option(help: "Directory for the demo's logs and trace store.", completion: .directory)
    var data = "skein-demo"

    @Option(help: "Page views a second.")
    var rate = 5.0

    private static let workloads = ["productpage-v1", "details-v1", "reviews-v1", "reviews-v2", "ratings-v1"]

    func run() throws {
        let status = try supervise()
        if status != 0 { throw ExitCode(status) }
    }

    private func supervise() throws -> Int32 {
        let signals = try SignalInbox()
        let program = Self.executable("skein")
        let bookinfo = Self.executable("Bookinfo")
        guard FileManager.default.isExecutableFile(atPath: bookinfo) else {
            complain("skein: \(bookinfo) is missing; build it with `swift build -c release`")
            throw ExitStatus.system
        }
        let configuration = URL(fileURLWithPath: quickstart).path
        guard FileManager.default.fileExists(atPath: configuration) else {
            complain("skein: no configuration at \(configuration); name it with --quickstart DIR")
            throw ExitStatus.badInput
        }
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        let directory = URL(fileURLWithPath: data).path
        var children: [Child] = []
        defer { Child.stopAll(children) }

        let collector = ["run", "-c", configuration, "--data", directory + "/store", "--access-log-directory", directory, "--workers", "1", "--namespace", "bookinfo"]
        children.append(try Child(name: "collector", program, collector, log: directory + "/collector.log"))
        for (index, workload) in Self.workloads.enumerated() {
            let arguments = [
                "run", "-c", configuration, "--node", workload, "--bind", "127.0.1.\(index + 1)", "--no-store", "--access-log-directory", directory,
                "--workers", "1", "--admin-port", "15000", "--zipkin-port", "0", "--otlp-port", "0",
            ]
            children.append(try Child(name: workload, program, arguments, log: directory + "/\(workload).log"))
        }
        children.append(try Child(name: "bookinfo", bookinfo, ["serve"], log: directory + "/bookinfo.log"))
        guard waitUntilReady(signals, children) else { return 70 }
        children.append(try Child(name: "visitor", bookinfo, ["visit", "127.0.0.1:15001", String(rate)], log: directory + "/visitor.log"))
        for line in Self.introduction(directory) { print(line) }
        // Into a pipe, print keeps its text until there is more of it.
        _ = fflush(nil)
        while true {
            if signals.wait(milliseconds: 500) == .terminate { break }
            if let ended = children.first(where: { !$0.isRunning }) {
                complain("skein: \(ended.name) ended; its last words are in \(ended.log)")
                return 70
            }
        }
        print("\nstopping")
        return 0
    }

    /// Waits for the page to answer through the whole mesh, for ten seconds at most.
    private func waitUntilReady(_ signals: borrowing SignalInbox, _ children: [Child]) -> Bool {
        guard let proxy = SocketEndpoint(address: "127.0.0.1", port: 15001) else { return false }
        var client = HTTPClient(endpoint: proxy)
        client.timeoutMilliseconds = 1000
        for _ in 0..<100 {
            if let ended = children.first(where: { !$0.isRunning }) {
                complain("skein: \(ended.name) could not start; see \(ended.log):")
                complain(ended.lastLines)
                return false
            }
            let areReady = Self.workloads.indices.allSatisfy { index in
                guard let endpoint = SocketEndpoint(address: "127.0.1.\(index + 1)", port: 15021) else { return false }
                return (try? HTTPClient(endpoint: endpoint).send("GET", "/healthz/ready"))?.status == 200
            }
            if areReady, let page = try? client.send("GET", "/productpage", headers: [("Host", "productpage:9080")]), page.status == 200,
                !String(decoding: page.body, as: UTF8.self).contains("null")
            {
                return true
            }
            if signals.wait(milliseconds: 100) == .terminate { return false }
        }
        complain("skein: the demo did not come up within ten seconds; its logs are beside the access log")
        return false
    }

    private static func introduction(_ directory: String) -> [String] {
        let style = TerminalStyle.standardOutput
        func heading(_ text: String) -> String { style.paint(text, TerminalStyle.bold) }
        return [
            "",
            heading("The mesh is running.") + "  productpage -> details, reviews v1 (90 %) and v2 (10 %, and always for jason) -> ratings",
            "",
            heading("Open"),
            "  http://127.0.0.1:9411/                     services and recent traces",
            "  http://127.0.0.1:15090/metrics             metrics of the edge proxy and the collector",
            "  http://127.0.1.1:15090/metrics             metrics of productpage's proxy",
            "",
            heading("Type"),
            "  curl -x http://127.0.0.1:15001 http://productpage:9080/productpage",
            "  curl -H 'end-user: jason' -x http://127.0.0.1:15001 http://productpage:9080/productpage",
            "  skein traces --service reviews.bookinfo    then: skein traces TRACE-ID",
            "  skein logs -f --server 127.0.1.1:15000     requests of productpage's proxy, as they finish",
            "  tail -f \(directory)/access.log",
            "  prometheus --config.file Config/prometheus/quickstart.yml",
            "",
            "Change a weight in Config/quickstart/04-reviews.yaml: every proxy notices within a second.  Ctrl-C stops everything.",
            "",
        ]
    }

    /// A program beside this one.
    static func executable(_ name: String) -> String {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent(name).path
    }
}

/// A process of the demo, ended with it.
final class Child {
    let name: String
    let log: String
    private let process = Process()

    init(name: String, _ program: String, _ arguments: [String], log: String) throws {
        self.name = name
        self.log = log
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        let output = FileHandle(forWritingAtPath: log)
        process.standardOutput = output
        process.standardError = output
        try process.run()
    }

    var isRunning: Bool { process.isRunning }

    var lastLines: String {
        let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(5).joined(separator: "\n")
    }

    /// Producers first. Politely, then not.
    static func stopAll(_ children: [Child]) {
        for child in children.reversed() where child.isRunning { child.process.terminate() }
        let deadline = Date().addingTimeInterval(5)
        for child in children.reversed() {
            while child.isRunning, Date() < deadline { usleep(20_000) }
            if child.isRunning { kill(child.process.processIdentifier, SIGKILL) }
            child.process.waitUntilExit()
        }
    }
}
