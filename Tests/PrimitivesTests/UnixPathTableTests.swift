@testable import Primitives
import Testing

@Suite struct UnixPathTableTests {
    private func text(_ table: borrowing UnixPathTable, _ number: Int) -> String {
        unsafe String(decoding: table.bytes(number), as: UTF8.self)
    }

    /// Endpoints are compared by number: two numbers for one path would be two pools, and an ejection of one of them would not be of the
    /// other.
    @Test func aPathHasOneNumber() throws {
        let table = UnixPathTable(pathsMax: 10)
        let first = try table.number(of: "/run/a.sock".utf8)
        let second = try table.number(of: "/run/b.sock".utf8)
        let third = try table.number(of: "@a".utf8)
        #expect(Set([first, second, third]).count == 3)
        #expect(try table.number(of: "/run/a.sock".utf8) == first)
        #expect(table.count == 3)
        #expect([first, second, third].map { text(table, $0) } == ["/run/a.sock", "/run/b.sock", "@a"])
        // The same letters in another Unicode form are another file.
        #expect(try table.number(of: "/run/\u{E9}".utf8) != table.number(of: "/run/e\u{301}".utf8))
    }

    /// Reloads with ever new paths must not eat the memory of a proxy that runs for years.
    @Test func aFullTableKeepsWhatItHas() throws {
        let table = UnixPathTable(pathsMax: 2)
        let first = try table.number(of: "/a".utf8)
        _ = try table.number(of: "/b".utf8)
        #expect(throws: UnixPathTable.Refusal.tableFull) { _ = try table.number(of: "/c".utf8) }
        #expect(try table.number(of: "/a".utf8) == first)
        #expect(table.count == 2)
    }

    /// The longest that bind(2) takes, and one more.
    @Test func refusesWhatTheSystemWould() throws {
        let table = UnixPathTable(pathsMax: 10)
        let longest = "/" + String(repeating: "x", count: 106)
        #expect(text(table, try table.number(of: longest.utf8)) == longest)
        #expect(throws: UnixPathTable.Refusal.tooLong) { _ = try table.number(of: (longest + "x").utf8) }
        for bad in ["", "/", "@", "relative", "unix:///a"] {
            #expect(throws: UnixPathTable.Refusal.notAPath, "\(bad)") { _ = try table.number(of: bad.utf8) }
        }
        // A line feed in a header field or a log line would begin another.
        for bad in ["/a\nb", "/a\0b", "/a\u{7F}"] {
            #expect(throws: UnixPathTable.Refusal.controlCharacter) { _ = try table.number(of: bad.utf8) }
        }
        #expect(table.count == 1)
    }

    @Test(arguments: [-1, 0, 1, Int.max]) func aNumberThatWasNeverGivenHasNoBytes(_ number: Int) {
        let table = UnixPathTable(pathsMax: 10)
        unsafe #expect(table.bytes(number).isEmpty)
    }

    /// Readers take no lock: whoever has a number finds the whole path under it, whatever others add meanwhile.
    @Test func readersSeeWholePathsWhileOthersWrite() async {
        let wrong = await withTaskGroup(of: Int.self) { group in
            for writer in 0..<4 {
                group.addTask {
                    var wrong = 0
                    for index in 0..<2000 {
                        // Half of them are everybody's, half this writer's own.
                        let path = index % 2 == 0 ? "/test/shared/\(index)" : "/test/\(writer)/\(index)"
                        guard let endpoint = try? SocketEndpoint(unixPath: path), endpoint.addressText == path else {
                            wrong += 1
                            continue
                        }
                    }
                    return wrong
                }
            }
            return await group.reduce(0, +)
        }
        #expect(wrong == 0)
    }
}

@Suite struct UnixEndpointTests {
    /// Records, pools and lists hold millions of these.
    @Test func anEndpointStaysAsSmallAsItWas() { #expect(MemoryLayout<SocketEndpoint>.size == 19) }

    @Test(arguments: ["/run/app.sock", "@app", "/tmp/with space and ü"]) func aPathIsPrintedAsItIs(_ path: String) throws {
        let endpoint = try SocketEndpoint(unixPath: path)
        #expect(endpoint.addressText == path)
        #expect(endpoint.description == path, "without a port, as Envoy prints it")
        #expect(endpoint.port == 0)
        #expect(!endpoint.isLoopback)
        #expect(try endpoint == SocketEndpoint(unixPath: path))
    }

    /// A port from elsewhere (a health check's own, say) must not make another endpoint of the same socket.
    @Test func aPathHasNoPort() throws {
        let endpoint = try SocketEndpoint(unixPath: "/run/app.sock")
        #expect(endpoint.with(port: 80) == endpoint)
    }

    /// Numbers of paths are small; they must not be taken for addresses.
    @Test func noPathIsAnAddress() throws {
        let path = try SocketEndpoint(unixPath: "/run/app.sock")
        #expect(path != SocketEndpoint(ipv4: UInt32(truncatingIfNeeded: path.low), port: 0))
        #expect(path != SocketEndpoint())
        unsafe #expect(SocketEndpoint(ipv4: UInt32(truncatingIfNeeded: path.low), port: 0).unixPath.isEmpty)
    }
}
