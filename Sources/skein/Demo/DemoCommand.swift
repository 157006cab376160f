internal import ArgumentParser
internal import EventLoops
internal import Foundation
internal import HTTPService
internal import MeshRuntime
internal import Primitives

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Run a small mesh: an application of four services behind real proxies, with traffic.",
        discussion: """
            Starts the bookinfo application, one proxy for each of its five workloads, a collector that they send their spans to, and a
            client that visits the page. Between the proxies goes mutual TLS, with certificates of an authority in the data directory.
            Everything listens on loopback addresses (127.0.0.1 and 127.0.1.1 to 127.0.1.5). Ctrl-C stops all of it.

            EXAMPLES
              skein demo
              skein demo --rate 50 --data demo-logs
            """)

    @Option(help: "Directory of the demo's configuration.", completion: .directory)
    var quickstart = "Config/quickstart"

    @Option(
        help: """
            Directory for the demo's logs, certificates and trace store; default: skein-demo-USER in the system's directory for temporary \
            files.
            """,
        completion: .directory)
    var data: String?

    @Option(help: "Page views a second.")
    var rate = 5.0

    private static let workloads = ["productpage-v1", "details-v1", "reviews-v1", "reviews-v2", "ratings-v1"]
    /// Of the proxy that visitors come by.
    private static let edgeAccount = "bookinfo-edge"

    func run() throws {
        do {
            let status = try supervise()
            if status != 0 { throw ExitCode(status) }
        } catch let problem as DemoProblem {
            complain("skein: \(problem.text)")
            throw ExitStatus.system
        }
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
        // Before anything is written: another demo's logs may be there.
        try Self.checkPorts()
        let directory = try makeDirectory()
        // A version of reviews has the account of the other.
        let accounts = Self.workloads.map { "bookinfo-\($0.prefix { $0 != "-" })" }
        let certificates = try DemoCertificates(in: directory, accounts: Set(accounts + [Self.edgeAccount]))
        var proxies: [Child] = []
        var services: [Child] = []
        var visitors: [Child] = []
        // Who sends spans goes before who takes them.
        defer { Child.stop([visitors, Array(proxies.dropFirst()) + services, Array(proxies.prefix(1))]) }

        let collector = [
            "run", "-c", configuration, "--data", directory + "/store", "--access-log-directory", directory, "--workers", "1",
            "--namespace", "bookinfo", "--identity", certificates.path(Self.edgeAccount),
        ]
        proxies.append(try Child(name: "collector", program, collector, log: directory + "/collector.log"))
        for (index, workload) in Self.workloads.enumerated() {
            let arguments = [
                "run", "-c", configuration, "--node", workload, "--bind", Self.address(index), "--no-store",
                "--collector", "127.0.0.1:9411", "--access-log-directory", directory,
                "--workers", "1", "--admin-port", "15000", "--zipkin-port", "0", "--otlp-port", "0",
                "--otlp-grpc-port", "0", "--identity", certificates.path(accounts[index]),
            ]
            proxies.append(try Child(name: workload, program, arguments, log: directory + "/\(workload).log"))
        }
        services.append(try Child(name: "bookinfo", bookinfo, ["serve"], log: directory + "/bookinfo.log"))
        guard waitUntilReady(signals, proxies + services) else { return 70 }
        visitors.append(try Child(name: "visitor", bookinfo, ["visit", "127.0.0.1:15001", String(rate)], log: directory + "/visitor.log"))
        for line in introduction(directory) { print(line) }
        // Into a pipe, print keeps its text until there is more of it.
        _ = fflush(nil)
        for child in proxies { _ = child.newLines() }
        return watch(signals, proxies, proxies + services + visitors)
    }

    /// Until Ctrl-C, or the end of one of them: says what becomes of configurations that are edited.
    private func watch(_ signals: borrowing SignalInbox, _ proxies: [Child], _ all: [Child]) -> Int32 {
        let style = TerminalStyle.standardOutput
        var news = DemoNews()
        while true {
            if signals.wait(milliseconds: 300) == .terminate { break }
            for child in proxies { news.take(child.newLines(), from: child.name) }
            for (text, isBad) in news.tell(processes: proxies.count) {
                print(style.paint(text, isBad ? TerminalStyle.red : TerminalStyle.green))
            }
            _ = fflush(nil)
            if let ended = all.first(where: { !$0.isRunning }) {
                complain("skein: \(ended.name) ended; its last words are in \(ended.log):")
                complain(ended.lastLines)
                return 70
            }
        }
        print("\nstopping")
        return 0
    }

    // MARK: Before the start

    /// Addresses of the workloads: 127.0.1.1 and on.
    private static func address(_ workload: Int) -> String { "127.0.1.\(workload + 1)" }

    /// What the demo listens on.
    private static var endpoints: [SocketEndpoint] {
        let own = [15001, 15000, 15021, 15090, 9411, 4318, 4317].map { ("127.0.0.1", UInt16($0)) }
        let proxies = workloads.indices.flatMap { index in [15001, 9080, 15000, 15021, 15090, 8080].map { (address(index), UInt16($0)) } }
        return (own + proxies).compactMap { SocketEndpoint(address: $0.0, port: $0.1) }
    }

    /// Every port that somebody has, and who.
    private static func checkPorts() throws {
        var taken: [String] = []
        for endpoint in endpoints {
            do throws(SystemError) {
                try Socket.checkListenable(endpoint)
            } catch {
                let holders = PortHolder.of(endpoint).map(\.description)
                taken.append("\(endpoint): \(holders.isEmpty ? "\(error)" : "held by " + holders.joined(separator: " and "))")
            }
        }
        guard !taken.isEmpty else { return }
        let more = taken.count > 3 ? "\n  and \(taken.count - 3) more ports" : ""
        throw DemoProblem(
            "the demo's ports are taken; is another demo running? Stop what holds them and try again.\n  "
                + taken.prefix(3).joined(separator: "\n  ") + more)
    }

    private func makeDirectory() throws -> String {
        let path = data ?? FileManager.default.temporaryDirectory.appendingPathComponent("skein-demo-\(NSUserName())").path
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw DemoProblem("\(path) cannot be made: \(Self.reason(error)); choose another directory with --data DIR")
        }
        guard FileManager.default.isWritableFile(atPath: path) else {
            throw DemoProblem("\(path) belongs to another user or may not be written; choose another directory with --data DIR")
        }
        return URL(fileURLWithPath: path).path
    }

    /// The system's words for an error of Foundation's.
    private static func reason(_ error: any Error) -> String {
        let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
        guard let code = underlying?.code ?? ((error as NSError).domain == NSPOSIXErrorDomain ? (error as NSError).code : nil) else {
            return error.localizedDescription
        }
        return unsafe String(cString: strerror(Int32(clamping: code)))
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
                guard let endpoint = SocketEndpoint(address: Self.address(index), port: 15021) else { return false }
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

    // MARK: What to say

    private func introduction(_ directory: String) -> [String] {
        let style = TerminalStyle.standardOutput
        func heading(_ text: String) -> String { style.paint(text, TerminalStyle.bold) }
        let skein = Self.typedName
        let pair = ShellText.quoted("\(directory)/certificates/\(Self.edgeAccount)")
        return [
            "",
            heading("The mesh is running.") + "  productpage -> details, reviews v1 (90 %) and v2 (10 %, and always for jason) -> ratings",
            "",
            "Between them goes mutual TLS (STRICT), with certificates of an authority of the demo's own: nobody else is let in.",
            "",
            heading("Open"),
            "  http://127.0.0.1:9411/                     services and recent traces",
            "  http://127.0.0.1:15090/metrics             metrics of the edge proxy and the collector",
            "  http://127.0.1.1:15090/metrics             metrics of productpage's proxy",
            "",
            heading("Type"),
            "  curl -x http://127.0.0.1:15001 http://productpage:9080/productpage",
            "  curl -H 'end-user: jason' -x http://127.0.0.1:15001 http://productpage:9080/productpage",
            "  \(skein) traces --service reviews.bookinfo    then: \(skein) traces TRACE-ID",
            "  \(skein) logs -f --server 127.0.1.1:15000 --status 4xx     pages that are not there, as they are asked for",
            "  \(skein) proxy-config endpoints --server 127.0.1.1:15000",
            "  curl http://127.0.1.3:9080/reviews/1       refused: reviews takes mutual TLS alone",
            "  curl -k --cert \(pair)/tls.crt --key \(pair)/tls.key https://127.0.1.3:9080/reviews/1",
            "  tail -f \(ShellText.quoted(directory))/access.log",
            "  prometheus --config.file Config/prometheus/quickstart.yml",
            "",
            "Change a weight in \(ShellText.quoted(quickstart))/04-reviews.yaml: every proxy notices within a second or two, and it is "
                + "said here.",
            "Ctrl-C stops everything.",
            "",
        ]
    }

    /// What a person types to start this program here: its name if the path leads to it, else where it is.
    private static var typedName: String {
        let own = executable("skein")
        let places = (Environment.value("PATH") ?? "").split(separator: ":").map {
            URL(fileURLWithPath: String($0)).appendingPathComponent("skein")
        }
        if places.contains(where: { $0.resolvingSymlinksInPath().path == own }) { return "skein" }
        let here = FileManager.default.currentDirectoryPath + "/"
        return ShellText.quoted(own.hasPrefix(here) ? String(own.dropFirst(here.count)) : own)
    }

    /// A program beside this one.
    static func executable(_ name: String) -> String {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent(name).path
    }
}
