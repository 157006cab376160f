internal import TLS

/// The TLS context of a worker's own ports under one configuration, made when the first connection needs it. Confined to the worker's thread.
final class InboundContext {
    private let settings: TLSSettings?
    private var made: TLSContext?
    /// Why it cannot be made, for people.
    private(set) var problem: String?

    init(_ settings: TLSSettings?) { self.settings = settings }

    /// Mutual TLS can be terminated, as far as is known.
    var isThere: Bool { settings != nil && problem == nil }

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
