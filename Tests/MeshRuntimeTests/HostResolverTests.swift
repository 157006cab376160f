@testable import EventLoops
@testable import MeshRuntime
import Primitives
import Synchronization
import Testing

/// A name server that answers what it is told, and can keep its callers waiting.
private final class NameServer: Sendable {
    private struct State {
        var answers: [String: [SocketEndpoint]] = [:]
        var asked: [String] = []
        var isHeld = false
        var waiting = 0
    }

    private let state = Mutex(State())

    var asked: [String] { state.withLock { $0.asked } }
    var waiting: Int { state.withLock { $0.waiting } }

    /// nil = no such name.
    func set(_ host: String, _ last: [UInt32]?) {
        state.withLock { $0.answers[host] = last?.map { SocketEndpoint(ipv4: 0x0A00_0000 | $0, port: 0) } }
    }

    func hold(_ isHeld: Bool) { state.withLock { $0.isHeld = isHeld } }

    func lookUp(_ host: String) -> Result<[SocketEndpoint], ResolveError> {
        state.withLock {
            $0.asked.append(host)
            $0.waiting += 1
        }
        eventually("the name server answers") { state.withLock { !$0.isHeld } }
        return state.withLock { state in
            state.waiting -= 1
            return state.answers[host].map { .success($0) } ?? .failure(ResolveError(host: host, reason: "no such name"))
        }
    }
}

@Suite struct HostResolverTests {
    private final class Running {
        let server = NameServer()
        let resolver: HostResolver
        private let thread: WorkerThread

        init(refresh: Int32 = 5, retry: Int32 = 5) throws {
            let server = server
            resolver = try HostResolver(refreshMilliseconds: refresh, retryMilliseconds: retry) { server.lookUp($0) }
            thread = try resolver.start()
        }

        /// Ends the thread; what the resolver knows afterwards no longer changes.
        func stop() {
            server.hold(false)
            resolver.stop()
            thread.join()
        }

        func text(_ host: String) -> [String] { (resolver.answers[host] ?? []).map(\.addressText) }
    }

    /// DNS fails for minutes at a time. The endpoints that worked a moment ago are the best guess; none at all is an outage of our making.
    @Test func keepsTheLastGoodAnswerWhenALookUpFails() throws {
        let running = try Running()
        running.server.set("a.example", [1, 2])
        running.resolver.want(["a.example"])
        eventually("the name is known") { running.text("a.example") == ["10.0.0.1", "10.0.0.2"] }
        _ = running.resolver.takeChanges()
        running.server.set("a.example", nil)
        eventually("look-ups fail") { running.resolver.failureCounts.values.reduce(0, +) >= 3 }
        let (changed, failures) = running.resolver.takeChanges()
        #expect(!changed)
        #expect(failures == ["a.example": "no such name"])
        #expect(running.text("a.example") == ["10.0.0.1", "10.0.0.2"])
        running.server.set("a.example", [3])
        eventually("the name server is back") { running.text("a.example") == ["10.0.0.3"] }
        running.stop()
    }

    /// Every change compiles the whole mesh: the same addresses in another order are none, and one change is told once.
    @Test func tellsAChangeOnceAndOnlyWhenItIsOne() throws {
        let running = try Running()
        running.server.set("a.example", [1, 2])
        running.resolver.want(["a.example"])
        eventually("the name is known") { running.resolver.takeChanges().changed }
        #expect(!running.resolver.takeChanges().changed)
        running.server.set("a.example", [2, 1])
        let before = running.server.asked.count
        eventually("it is asked again") { running.server.asked.count > before + 2 }
        #expect(!running.resolver.takeChanges().changed)
        running.server.set("a.example", [2])
        eventually("an address went") { running.resolver.takeChanges().changed }
        running.stop()
        #expect(!running.resolver.takeChanges().changed)
    }

    /// The control thread loads configurations and answers signals; a name server that hangs must not stop it.
    @Test func neverKeepsItsCallerWaiting() throws {
        let running = try Running()
        running.server.hold(true)
        running.resolver.want(["slow.example"])
        eventually("the look-up hangs") { running.server.waiting == 1 }
        // None of these would return if they waited for it.
        running.resolver.want(["slow.example", "other.example"])
        #expect(running.resolver.answers.isEmpty)
        #expect(!running.resolver.takeChanges().changed)
        #expect(running.resolver.failureCounts.values.reduce(0, +) == 0)
        #expect(running.server.waiting == 1)
        running.stop()
    }

    /// A reload must not wait for the next half minute before its new names are looked up.
    @Test func looksUpNewNamesAtOnce() throws {
        let running = try Running(refresh: 600_000, retry: 600_000)
        running.server.set("a.example", [1])
        running.server.set("b.example", [2])
        running.resolver.want(["a.example"])
        eventually("the first name is known") { !running.text("a.example").isEmpty }
        running.resolver.want(["a.example", "b.example"])
        eventually("the second as well") { running.text("b.example") == ["10.0.0.2"] }
        let asked = running.server.asked.count
        running.resolver.want(["a.example", "b.example"])
        running.stop()
        #expect(running.server.asked.count <= asked + 1, "the same names are no news")
    }

    /// A name without an answer is an outage of its service: it is tried again much sooner than the others are refreshed.
    @Test func triesAMissingNameAgainSoon() throws {
        let running = try Running(refresh: 600_000, retry: 5)
        running.resolver.want(["new.example"])
        eventually("it is missing") { running.resolver.failureCounts.values.reduce(0, +) >= 2 }
        running.server.set("new.example", [7])
        eventually("it came") { running.text("new.example") == ["10.0.0.7"] }
        let asked = running.server.asked.count
        running.stop()
        #expect(running.server.asked.count <= asked + 1, "from now on there is time")
    }

    /// Names come and go with configurations: answers that nobody wants must not pile up, nor be served years later as if they were fresh.
    @Test func forgetsNamesThatNobodyWants() throws {
        let running = try Running()
        for number in 0..<20 {
            running.server.set("h\(number).example", [UInt32(number)])
            running.resolver.want(["h\(number).example"])
            eventually("name \(number) is known") { !running.text("h\(number).example").isEmpty }
        }
        running.stop()
        #expect(Array(running.resolver.answers.keys) == ["h19.example"])
    }

    /// A look-up that returns after its name was dropped must not bring it back.
    @Test func anAnswerThatComesTooLateIsDropped() throws {
        let running = try Running()
        running.server.set("old.example", [1])
        running.server.hold(true)
        running.resolver.want(["old.example"])
        eventually("the look-up hangs") { running.server.waiting == 1 }
        running.server.set("new.example", [2])
        running.resolver.want(["new.example"])
        running.server.hold(false)
        eventually("the new name is known") { running.text("new.example") == ["10.0.0.2"] }
        running.stop()
        #expect(running.resolver.answers["old.example"] == nil)
    }

    @Test func boundsTheNumberOfNames() throws {
        let resolver = try HostResolver { .failure(ResolveError(host: $0, reason: "never asked")) }
        let thread = try resolver.start()
        resolver.want((0..<HostResolver.hostsMax + 10).map { "h\($0)" })
        eventually("all are asked") { resolver.failureCounts.values.reduce(0, +) >= UInt64(HostResolver.hostsMax) }
        resolver.stop()
        thread.join()
        #expect(resolver.failureCounts.values.reduce(0, +) == UInt64(HostResolver.hostsMax))
    }

    /// The system's own look-ups, wired as in a process.
    @Test func resolvesThroughTheSystem() throws {
        let resolver = try HostResolver()
        let thread = try resolver.start()
        resolver.want(["localhost"])
        eventually("localhost is known") { resolver.answers["localhost"]?.isEmpty == false }
        #expect(resolver.answers["localhost"]?.allSatisfy { $0.isLoopback && $0.port == 0 } == true)
        resolver.stop()
        thread.join()
    }
}
