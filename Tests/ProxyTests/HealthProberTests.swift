import EventLoops
import Glibc
import OutlierDetection
import Primitives
import Proxy
import Synchronization
import Testing

/// A server that answers each connection with pieces of bytes and closes it; with none, it says nothing.
private final class ProbedServer: Sendable {
    let endpoint: SocketEndpoint
    private let listener: Int32
    private let requests = Mutex<[String]>([])
    private let isStopping = Atomic<Bool>(false)
    private let thread = Mutex<WorkerThread?>(nil)

    var heads: [String] { requests.withLock { $0 } }

    init(_ pieces: [String]) throws {
        listener = try Socket.listen(on: SocketEndpoint(ipv4: 0x7F00_0001, port: 0), reusePort: false)
        endpoint = Socket.localEndpoint(listener)
        let started = try WorkerThread(name: "probed") { [self] in
            while !isStopping.load(ordering: .relaxed) {
                guard Self.isReadable(listener), case .connection(let descriptor, _) = Socket.accept(listener) else { continue }
                serve(descriptor, pieces)
                Socket.close(descriptor)
            }
        }
        thread.withLock { $0 = started }
    }

    private static func isReadable(_ descriptor: Int32) -> Bool {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&waiting, 1, 5) > 0
    }

    private func serve(_ descriptor: Int32, _ pieces: [String]) {
        var room = [UInt8](repeating: 0, count: 4096)
        while !isStopping.load(ordering: .relaxed) {
            guard Self.isReadable(descriptor) else { continue }
            guard case .bytes(let count) = unsafe room.withUnsafeMutableBytes({ unsafe Socket.read(descriptor, into: $0) }) else { return }
            requests.withLock { $0.append(String(decoding: room[..<count], as: UTF8.self)) }
            for piece in pieces {
                let bytes = Array(piece.utf8)
                _ = unsafe bytes.withUnsafeBytes { unsafe Socket.write(descriptor, $0) }
                if pieces.count > 1 { usleep(2000) }
            }
            if !pieces.isEmpty { return }
        }
    }

    func stop() {
        isStopping.store(true, ordering: .relaxed)
        let running = thread.withLock { thread -> WorkerThread? in
            defer { thread = nil }
            return thread
        }
        running?.join()
        Socket.close(listener)
    }
}

@Suite struct HealthProberTests {
    private static let request =
        "GET /healthz?x=1 HTTP/1.1\r\nHost: web.local:80\r\nUser-Agent: skein-health-check\r\nConnection: close\r\n\r\n"

    /// Probes one address until there are `checks` results. Without a slot, verdicts go nowhere and the counters tell.
    private func probe(_ address: SocketEndpoint, _ request: String, checks: UInt64 = 1) throws -> (checks: UInt64, failures: UInt64) {
        let prober = try HealthProber(shared: SharedUpstreams(seed: 1, state: UpstreamState(clustersMax: 1, endpointsMax: 1)))
        let thread = try prober.start(seed: 1)
        var settings = HealthCheckSettings()
        settings.intervalNanoseconds = 1_000_000
        settings.timeoutNanoseconds = 200_000_000
        prober.apply([
            ProbeTarget(endpoint: .none, address: address, settings: settings, request: Array(request.utf8), statuses: [200...299]),
        ])
        let end = SystemClock.monotonicNow() + 20_000_000_000
        while prober.checks.load(ordering: .relaxed) < checks, SystemClock.monotonicNow() < end { usleep(1000) }
        prober.stop()
        thread.join()
        return (prober.checks.load(ordering: .relaxed), prober.failures.load(ordering: .relaxed))
    }

    /// The head of the answer decides, in whatever pieces it comes; interim responses are not the answer.
    @Test(arguments: [
        (["HTTP/1.1 200 OK\r\n\r\n"], true), (["HTTP/1.1 204 No Content\r\n\r\n"], true),
        (["HT", "TP/1.1 2", "00 OK\r\nContent-Le", "ngth: 100\r\n", "\r", "\n"], true),
        (["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"], true), (["HTTP/1.1 503 Busy\r\n\r\n"], false),
        (["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 500 Oops\r\n\r\n"], false), (["HTTP/1.1 100 Continue\r\n\r\n"], false),
        (["SSH-2.0-OpenSSH_9.2\r\n\r\n"], false), (["HTTP/1.1 200 OK\r\n"], false),
        (["HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 20_000)], false),
    ])
    func theAnswersHeadDecides(pieces: [String], passes: Bool) throws {
        let server = try ProbedServer(pieces)
        defer { server.stop() }
        let (checks, failures) = try probe(server.endpoint, Self.request, checks: 3)
        #expect(checks >= 3 && failures == (passes ? 0 : checks))
        #expect(server.heads.allSatisfy { $0 == Self.request }, "the request is sent as it was given")
    }

    /// A server that accepts and then says nothing is as ill as one that does not listen.
    @Test func silenceAndRefusalAreFailures() throws {
        let server = try ProbedServer([])
        #expect(try probe(server.endpoint, Self.request).failures == 1)
        server.stop()
        let (checks, failures) = try probe(server.endpoint, Self.request)
        #expect(checks > 0 && failures == checks)
    }

    /// Without a request, a connection that is accepted is all that is wanted; nothing is sent.
    @Test func aConnectionCanBeEnough() throws {
        let server = try ProbedServer([])
        let (checks, failures) = try probe(server.endpoint, "", checks: 2)
        server.stop()
        #expect(checks >= 2 && failures == 0 && server.heads.isEmpty)
        let gone = try probe(server.endpoint, "")
        #expect(gone.failures == gone.checks)
    }

    @Test func whatIsNoRequestIsNotSent() throws {
        let server = try ProbedServer(["HTTP/1.1 200 OK\r\n\r\n"])
        let (checks, failures) = try probe(server.endpoint, "GET / HTTP/1.1\r\n")
        server.stop()
        #expect(checks > 0 && failures == checks && server.heads.isEmpty)
    }
}
