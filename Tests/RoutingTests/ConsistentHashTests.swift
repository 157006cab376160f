import HTTP
import Primitives
import Routing
import Testing

@Suite struct ConsistentHashTests {
    static func mesh(_ endpoints: Int, _ hash: String, without gone: Int? = nil, weights: [Int: Int] = [:]) -> Mesh {
        let list = (0..<endpoints).filter { $0 != gone }.map { ("10.0.\($0 / 250).\($0 % 250 + 1)", "v1", weights[$0] ?? 1) }
        return Mesh(
            Mesh.service("web.local", list)
                + Mesh.resource("DestinationRule", "web", "host: web.local\ntrafficPolicy: {loadBalancer: {consistentHash: {\(hash)}}}"))
    }

    /// Address of the endpoint each of many hashes goes to.
    static func choices(_ mesh: Mesh, _ count: Int, isAvailable: (String) -> Bool = { _ in true }) throws -> [String] {
        let cluster = try #require(mesh.cluster(named: "outbound|80||web.local"))
        let tables = unsafe mesh.snapshot.tables
        func address(_ index: Int) -> String { tables.endpoint(index).address.description }
        return try (0..<count).map { key in
            let hash = ByteHash.mix(UInt64(key) &* 0x9E37_79B9_7F4A_7C15, 0x1405_7B7E_F767_814F)
            return address(try #require(tables.pick(hashed: cluster, hash) { isAvailable(address($0)) }))
        }
    }

    @Test(arguments: [
        "useSourceIp: true", "httpHeaderName: x-user, ringHash: {minimumRingSize: 4096}",
        "httpHeaderName: x-user, maglev: {tableSize: 1009}", "httpHeaderName: x-user, maglev: {tableSize: 1000}",
    ])
    func sharesAreEvenAndLossesAreSmall(_ hash: String) throws {
        let before = try Self.choices(Self.mesh(10, hash), 20_000)
        var counts: [String: Int] = [:]
        for one in before { counts[one, default: 0] += 1 }
        #expect(counts.count == 10)
        // A ring of 1,000 points is coarse; Maglev's table is even.
        let bounds = hash.contains("maglev") ? 1_800...2_200 : 1_200...2_800
        #expect(counts.values.allSatisfy { bounds.contains($0) }, "\(counts)")
        // Without one endpoint its keys move, and few others: the rest get more points or slots so that the table stays full.
        let gone = "10.0.0.4:80"
        let after = try Self.choices(Self.mesh(10, hash, without: 3), 20_000)
        let moved = zip(before, after).count { $0 != gone && $0 != $1 }
        #expect(moved <= 2_000, "\(moved)")
        #expect(!after.contains(gone))
        // An ejected endpoint is walked past, and nobody else's keys move.
        let ejected = try Self.choices(Self.mesh(10, hash), 20_000) { $0 != gone }
        #expect(zip(before, ejected).allSatisfy { $0 == gone ? $1 != gone : $0 == $1 })
    }

    @Test func weightsCount() throws {
        for hash in ["httpHeaderName: x-user, ringHash: {minimumRingSize: 16384}", "httpHeaderName: x-user, maglev: {}"] {
            let all = try Self.choices(Self.mesh(3, hash, weights: [0: 2]), 20_000)
            let share = all.count { $0 == "10.0.0.1:80" }
            #expect((9_000...11_000).contains(share), "\(hash): \(share)")
        }
    }

    @Test func theSameTableEverywhere() throws {
        let one = try Self.choices(Self.mesh(7, "useSourceIp: true"), 500)
        #expect(try Self.choices(Self.mesh(7, "useSourceIp: true"), 500) == one)
    }

    static func hash(_ mesh: Mesh, _ lines: String, query: String = "", source: String = "10.1.1.1") throws -> UInt64? {
        let cluster = try #require(mesh.cluster(named: "outbound|80||web.local"))
        let text = Array("GET / HTTP/1.1\r\nHost: web.local\r\n\(lines)\r\n".utf8)
        var head = MessageHead()
        var scan = HeadScan()
        return unsafe text.withUnsafeBytes { bytes in
            let parsed = unsafe HeadParser.parseRequest(bytes, scan: &scan, limits: HTTPLimits(), into: &head)
            #expect(parsed == .complete)
            return unsafe Array(query.utf8).withUnsafeBytes {
                unsafe mesh.snapshot.tables.hash(
                    cluster.hash, head, query: LentBytes($0), source: SocketEndpoint(address: source, port: 7) ?? SocketEndpoint())
            }
        }
    }

    @Test func whatIsHashed() throws {
        let header = Self.mesh(2, "httpHeaderName: X-User")
        #expect(try Self.hash(header, "x-user: ann\r\n") == Self.hash(header, "X-USER: ann\r\nOther: 1\r\n"))
        #expect(try Self.hash(header, "x-user: ann\r\n") != Self.hash(header, "x-user: bob\r\n"))
        #expect(try Self.hash(header, "") == nil)
        let cookie = Self.mesh(2, "httpCookie: {name: sid, ttl: 60s, path: /app}")
        #expect(try Self.hash(cookie, "Cookie: a=1; sid=q; b=2\r\n") == Self.hash(cookie, "Cookie: sid=q\r\n"))
        #expect(try Self.hash(cookie, "Cookie: xsid=q\r\n") == nil)
        #expect(try #require(cookie.cluster(named: "outbound|80||web.local")).hash.cookieSeconds == 60)
        let query = Self.mesh(2, "httpQueryParameterName: k")
        #expect(try Self.hash(query, "", query: "?a=b&k=7") == Self.hash(query, "", query: "?k=7&z"))
        #expect(try Self.hash(query, "", query: "?kk=7") == nil)
        // The port changes with every connection; the client stays the same.
        let source = Self.mesh(2, "useSourceIp: true")
        #expect(try Self.hash(source, "", source: "10.1.1.1") != Self.hash(source, "", source: "10.1.1.2"))
    }
}
