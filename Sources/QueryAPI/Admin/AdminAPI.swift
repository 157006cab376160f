public import HTTPService

/// Whether this process should be sent requests.
public enum Readiness: Sendable, Equatable {
    case ready
    /// Starting or draining; the reason is the answer's text.
    case notReady(reason: String)
}

/// The configuration in force, for people: what listens, what is routed where, and which endpoints are behind it.
public struct ConfigurationDump: Sendable {
    /// One line of a section: names and values in the order to be shown.
    public typealias Entry = [(name: String, value: String)]

    public var generation: UInt64 = 0
    public var version = ""
    public var listeners: [Entry] = []
    public var routes: [Entry] = []
    public var clusters: [Entry] = []
    public var endpoints: [Entry] = []

    public init() {}
}

/// `/healthz/ready` (port 15021 and 15000), `/ready` and `/config_dump` (15000).
///
/// Answers at once on the server's thread: both closures read snapshots and must not block.
public final class AdminAPI: Sendable {
    /// Entries of one section that are printed; the rest is counted in `omitted`.
    public static let entriesMax = 10_000

    private let readiness: @Sendable () -> Readiness
    private let dump: @Sendable () -> ConfigurationDump

    public init(
        readiness: @escaping @Sendable () -> Readiness, dump: @escaping @Sendable () -> ConfigurationDump = { ConfigurationDump() }
    ) {
        self.readiness = readiness
        self.dump = dump
    }

    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        switch request.path {
        case "/healthz/ready", "/ready": .respond(APIReply.refusal(request.method) ?? ready())
        case "/config_dump": .respond(APIReply.refusal(request.method) ?? configuration())
        default: nil
        }
    }

    private func ready() -> ServiceResponse {
        switch readiness() {
        case .ready: .text(200, "ready", headers: [("Cache-Control", "no-store")])
        case .notReady(let reason): .text(503, "not ready: \(reason)", headers: [("Cache-Control", "no-store"), ("Retry-After", "1")])
        }
    }

    private func configuration() -> ServiceResponse {
        let now = dump()
        var body: [UInt8] = []
        body.append(text: "{\"version\":")
        body.append(jsonString: now.version)
        body.append(text: ",\"generation\":\(now.generation)")
        append("listeners", now.listeners, to: &body)
        append("routes", now.routes, to: &body)
        append("clusters", now.clusters, to: &body)
        append("endpoints", now.endpoints, to: &body)
        body.append(text: "}\n")
        // No cross-origin header: the configuration is nobody's business but the operator's.
        return ServiceResponse(status: 200, contentType: "application/json", headers: [("Cache-Control", "no-store")], body: body)
    }

    private func append(_ name: String, _ entries: [ConfigurationDump.Entry], to body: inout [UInt8]) {
        body.append(text: ",\n\"\(name)\":[")
        for (index, entry) in entries.prefix(Self.entriesMax).enumerated() {
            body.append(text: index > 0 ? ",\n {" : "\n {")
            for (position, field) in entry.enumerated() {
                if position > 0 { body.append(UInt8(ascii: ",")) }
                body.append(jsonString: field.name)
                body.append(UInt8(ascii: ":"))
                body.append(jsonString: field.value)
            }
            body.append(text: "}")
        }
        body.append(text: "]")
        if entries.count > Self.entriesMax { body.append(text: ",\"omitted_\(name)\":\(entries.count - Self.entriesMax)") }
    }
}
