internal import EventLoops
internal import Glibc
internal import HTTPService
internal import Primitives
internal import Synchronization

/// The headers an application must pass on for traces to hang together and for routing by user to work.
let propagatedHeaders = [
    "x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "b3", "traceparent", "tracestate",
    "end-user",
]

/// A caller of other services through the workload's own proxy.
struct Caller: Sendable {
    let proxy: SocketEndpoint?
    let headers: [(name: String, value: String)]

    init(proxy: String, request: borrowing ServiceRequest) {
        self.proxy = SocketEndpoint(address: proxy, port: 15001)
        var headers: [(name: String, value: String)] = []
        for name in propagatedHeaders {
            if let value = request.header(name) { headers.append((name, value)) }
        }
        self.headers = headers
    }

    /// The body of the answer, or nil when the service is not to be had.
    func get(_ service: String, _ path: String) -> String? {
        guard let proxy else { return nil }
        var client = HTTPClient(endpoint: proxy)
        client.timeoutMilliseconds = 2000
        guard let response = try? client.send("GET", path, headers: headers + [("Host", "\(service):9080")]), response.status == 200 else {
            return nil
        }
        return String(decoding: response.body, as: UTF8.self)
    }
}

/// Runs work that blocks on a thread of its own: a demo has few requests.
func detached(_ responder: Responder, _ work: @escaping @Sendable () -> ServiceResponse) -> ServiceOutcome {
    do throws(SystemError) {
        _ = try WorkerThread(name: "call") { responder.respond(work()) }
        return .later
    } catch {
        return .respond(.text(503, "\(error)"))
    }
}

func json(_ text: String) -> ServiceResponse {
    ServiceResponse(status: 200, contentType: "application/json", body: Array((text + "\n").utf8))
}

final class ProductPage: ServiceHandler {
    let proxy: String
    init(proxy: String) { self.proxy = proxy }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        guard request.path == "/productpage" else { return .respond(.text(404, "no such page; try /productpage")) }
        let caller = Caller(proxy: proxy, request: request)
        return detached(responder) {
            let details = caller.get("details", "/details/0") ?? "null"
            let reviews = caller.get("reviews", "/reviews/0") ?? "null"
            return json("{\"title\":\"The Comedy of Errors\",\"details\":\(trim(details)),\"reviews\":\(trim(reviews))}")
        }
    }
}

final class Details: ServiceHandler {
    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        guard request.path.hasPrefix("/details/") else { return .respond(.text(404, "no such path")) }
        return .respond(json("{\"id\":0,\"author\":\"William Shakespeare\",\"year\":1595,\"pages\":200}"))
    }
}

final class Reviews: ServiceHandler {
    let version: Int
    let proxy: String

    init(version: Int, proxy: String) {
        self.version = version
        self.proxy = proxy
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        guard request.path.hasPrefix("/reviews/") else { return .respond(.text(404, "no such path")) }
        let version = version
        if version == 1 {
            return .respond(json("{\"version\":1,\"reviews\":[\"An extremely entertaining play.\",\"Absolutely fun and entertaining.\"]}"))
        }
        let caller = Caller(proxy: proxy, request: request)
        return detached(responder) {
            let ratings = caller.get("ratings", "/ratings/0") ?? "null"
            return json("{\"version\":\(version),\"reviews\":[\"An extremely entertaining play.\"],\"ratings\":\(trim(ratings))}")
        }
    }
}

final class Ratings: ServiceHandler {
    private let count = Atomic<Int>(0)

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        guard request.path.hasPrefix("/ratings/") else { return .respond(.text(404, "no such path")) }
        // Something to look at: the ratings are out of order now and then.
        let number = count.wrappingAdd(1, ordering: .relaxed).newValue
        if number % 15 == 0 { return .respond(.text(503, "ratings are being counted")) }
        return .respond(json("{\"id\":0,\"ratings\":{\"Reviewer1\":5,\"Reviewer2\":4}}"))
    }
}

func trim(_ text: String) -> String {
    text.hasSuffix("\n") ? String(text.dropLast()) : text
}
