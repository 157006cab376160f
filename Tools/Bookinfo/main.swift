internal import EventLoops
internal import Glibc
internal import HTTPService
internal import Primitives

// The demo's application: five small services that know nothing of the mesh but to pass the tracing headers on, and a client that
// visits them. One process plays all of them, each on the address of its workload.
//
//   bookinfo serve                       the services, until a signal
//   bookinfo visit URL-HOST:PORT RATE    a gentle client: RATE page views a second through the proxy at HOST:PORT

func complain(_ text: String) {
    var line = text + "\n"
    line.withUTF8 { _ = unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

func listen(_ name: String, _ address: String, _ handler: any ServiceHandler) -> ServiceServer? {
    guard let endpoint = SocketEndpoint(address: address, port: 8080) else { return nil }
    do throws(SystemError) {
        return try ServiceServer(name: name, endpoints: [endpoint], limits: ServiceLimits(), handler: handler)
    } catch {
        complain("bookinfo: \(name): \(error)")
        return nil
    }
}

func serve() -> Int32 {
    let signals: SignalInbox
    do throws(SystemError) {
        signals = try SignalInbox()
    } catch {
        return 70
    }
    let servers = [
        listen("productpage", "127.0.1.1", ProductPage(proxy: "127.0.1.1")),
        listen("details", "127.0.1.2", Details()),
        listen("reviews-v1", "127.0.1.3", Reviews(version: 1, proxy: "127.0.1.3")),
        listen("reviews-v2", "127.0.1.4", Reviews(version: 2, proxy: "127.0.1.4")),
        listen("ratings", "127.0.1.5", Ratings()),
    ].compactMap { $0 }
    guard servers.count == 5 else { return 70 }
    while signals.wait(milliseconds: 60_000) != .terminate {}
    for server in servers { server.stop() }
    return 0
}

func visit(_ proxy: String, rate: Double) -> Int32 {
    let parts = proxy.split(separator: ":")
    guard parts.count == 2, let port = UInt16(parts[1]), let endpoint = SocketEndpoint(address: String(parts[0]), port: port), rate > 0
    else {
        complain("bookinfo: visit ADDRESS:PORT RATE")
        return 64
    }
    // A program that is started by one that waits for signals begins with them blocked: it has to take them itself.
    guard let signals = try? SignalInbox() else { return 70 }
    let client = HTTPClient(endpoint: endpoint)
    var number = 0
    while true {
        number += 1
        var headers = [("Host", "productpage:9080"), ("User-Agent", "bookinfo-visitor/1")]
        // One visitor in four is jason; now and then somebody asks for a page that is not there.
        if number % 4 == 0 { headers.append(("end-user", "jason")) }
        let path = number % 25 == 0 ? "/missing" : "/productpage?u=\(number % 7)"
        _ = try? client.send("GET", path, headers: headers)
        if signals.wait(milliseconds: Int32(max(1, min(60_000, 1000 / rate)))) == .terminate { return 0 }
    }
}

let arguments = CommandLine.arguments
if arguments.count == 2, arguments[1] == "serve" { exit(serve()) }
if arguments.count == 4, arguments[1] == "visit", let rate = Double(arguments[3]) { exit(visit(arguments[2], rate: rate)) }
complain("usage: bookinfo serve | bookinfo visit ADDRESS:PORT RATE")
exit(64)
