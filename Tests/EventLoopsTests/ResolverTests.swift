import EventLoops
import Primitives
import Testing

@Suite struct ResolverTests {
    /// An address in a ServiceEntry must not depend on a name server.
    @Test(arguments: ["127.0.0.1", "10.1.2.3", "::1", "[2001:db8::5]"])
    func anAddressIsItsOwnAnswer(_ text: String) throws {
        let found = try Resolver.addresses(of: text, port: 8080).get()
        #expect(found == [try #require(SocketEndpoint(address: text, port: 8080))])
    }

    @Test func localhostIsThisMachine() throws {
        let found = try Resolver.addresses(of: "localhost", port: 99).get()
        #expect(!found.isEmpty)
        #expect(found.allSatisfy { $0.isLoopback && $0.port == 99 })
        #expect(Set(found).count == found.count, "each address once, or it would get twice the traffic")
        // IPv4 first: a service that listens on IPv4 only is the usual case.
        let firstSix = found.firstIndex { $0.family == .ipv6 } ?? found.count
        #expect(found[firstSix...].allSatisfy { $0.family == .ipv6 })
    }

    /// The name and the reason are all that an operator gets.
    @Test(arguments: ["no-such-host.invalid", "", "a..b", "spaces in a name", String(repeating: "x", count: 5000)])
    func aNameThatIsNoneIsAnErrorWithItsName(_ name: String) {
        switch Resolver.addresses(of: name, port: 1) {
        case .success(let found): Issue.record("\(name.prefix(40)) has addresses \(found)")
        case .failure(let error):
            #expect(error.host == name)
            #expect(error.description.hasPrefix("cannot resolve \(name): "))
            #expect(!error.reason.isEmpty)
        }
    }
}
