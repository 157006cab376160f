internal import TLS

/// The TLS context of a worker's own ports under one configuration, made when the first connection needs it. Confined to the worker's thread.
final class InboundContext {
    private let settings: TLSSettings?
    private var made: TLSContext?
    /// Why it cannot be made, for people.
    private(set) var problem: String?

    init(_ settings: TLSSettings?) { self.settings = settings }

    /// The process has an identity. Whether a context can be made of it is another matter: a port that takes nothing but mutual TLS takes
    /// nothing then.
    var isThere: Bool { settings != nil }

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
