internal import Synchronization
public import TLS

/// Settings of TLS that may be replaced while connections go on: those that there are keep what they began with, new ones get the new. A
/// server's clients whose certificates the new settings revoke are cut off. Of a server's listeners and of clients alike. Any thread.
public final class TLSSettingsSource: Sendable {
    private let state: Mutex<(settings: TLSSettings, revision: UInt64)>
    private let observers = Mutex<[@Sendable () -> Void]>([])

    /// Throws what keeps a context from being made of `settings`.
    public init(_ role: TLSContext.Role, _ settings: TLSSettings) throws(TLSError) {
        _ = try TLSContext(role, settings)
        self.role = role
        state = Mutex((settings, 1))
    }

    let role: TLSContext.Role

    /// New connections get `settings`; throws what keeps a context from being made of them, and then those before go on.
    public func replace(_ settings: TLSSettings) throws(TLSError) {
        _ = try TLSContext(role, settings)
        state.withLock { state in
            state.settings = settings
            state.revision &+= 1
        }
        for call in observers.withLock({ $0 }) { call() }
    }

    /// Has `call` called after each `replace`, on the thread of that, as long as this lives. One for each server that uses it.
    func whenReplaced(_ call: @escaping @Sendable () -> Void) { observers.withLock { $0.append(call) } }

    var current: (settings: TLSSettings, revision: UInt64) { state.withLock { $0 } }

    /// Whether a client is asked for its certificate.
    var asksClients: Bool { state.withLock { $0.settings.clientCertificate != .none } }
}

/// Contexts of clients on one thread, kept from one connection to the next: reading the system's authorities takes some 25 ms. One for each
/// source that was used. Confined to that thread.
public final class ClientContexts {
    private var caches: [ObjectIdentifier: TLSContextCache] = [:]

    public init() {}

    func cache(for source: TLSSettingsSource) -> TLSContextCache {
        if let known = caches[ObjectIdentifier(source)] { return known }
        let made = TLSContextCache(source)
        caches[ObjectIdentifier(source)] = made
        return made
    }
}

/// The context of a source's settings on one thread, made anew when they have been replaced. Confined to that thread.
final class TLSContextCache {
    let source: TLSSettingsSource
    private var made: TLSContext?
    private var revision: UInt64 = 0
    /// Why there is no context, for people.
    private(set) var problem: String?

    init(_ source: TLSSettingsSource) { self.source = source }

    /// Nil = none can be made, which `problem` says. A context that was good goes on where its successor cannot be made.
    func context() -> TLSContext? {
        let (settings, revision) = source.current
        guard revision != self.revision else { return made }
        self.revision = revision
        do throws(TLSError) {
            made = try TLSContext(source.role, settings)
            problem = nil
        } catch {
            problem = error.description
        }
        return made
    }
}
