internal import TLS

/// The TLS context of a worker's own ports, or of a server of a Gateway, under one configuration, made when the first connection needs it.
/// Confined to the worker's thread.
final class InboundContext {
    private let settings: TLSSettings?
    private var made: TLSContext?
    /// What a client's certificate must be besides.
    let expectation: TLSExpectation
    /// Why it cannot be made, for people.
    private(set) var problem: String?

    init(_ settings: TLSSettings?) {
        self.settings = settings
        expectation = .anybody
    }

    init(_ server: DownstreamTLS) {
        settings = server.settings
        expectation = server.expectation
        if server.settings == nil { problem = server.problem }
    }

    /// The process has an identity. Whether a context can be made of it is another matter: a port that takes nothing but mutual TLS takes
    /// nothing then.
    var isThere: Bool { settings != nil }

    /// What the authorities of its clients have taken back; nil = nobody says.
    var revocations: RevocationLists? { settings?.revocations }

    func context() -> TLSContext? {
        if let made { return made }
        guard let settings, problem == nil else { return nil }
        do throws(TLSError) {
            made = try TLSContext(.server, settings)
        } catch {
            problem = error.description
        }
        return made
    }
}
