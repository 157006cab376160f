public import Synchronization

/// The source halves of one process: those that configurations are compiled with, and those of peers that workers come to know while they
/// serve. Ids are never reused. Any thread; a lock held for the time of a look-up, once for a connection and not for a request.
///
/// Peers are whoever shows an identity, so they have a budget of their own: they cannot take the place of what configurations name.
public final class SourceCatalog: Sendable {
    /// Halves added for peers. A RED series of each would already be more than a shard has room for.
    public static let peersMax = 4096
    /// Text of one peer's half, bytes; a SPIFFE ID has at most 2,048 (SPIFFE-ID 2.3).
    public static let peerBytesMax = 4096

    private let halves: Interner<SourceLabels>
    private let peersMax: Int
    private let peers = Mutex(0)
    private let own = Mutex("")

    /// Who this process is to the endpoints it speaks to with mutual TLS: the source of what it reports as such. Empty = nobody.
    public var ownPrincipal: String { own.withLock { $0 } }

    /// The control thread, with each certificate.
    public func setOwn(principal: String) { own.withLock { $0 = principal } }

    /// Peers that are counted as `unknown`: the catalogue was full, or their text too long. Once for each connection.
    public let overflowed = Atomic<UInt64>(0)

    public init(peersMax: Int = SourceCatalog.peersMax) {
        self.peersMax = peersMax
        halves = Interner(zero: SourceLabels())
    }

    /// For compiling a configuration.
    public func id(_ labels: SourceLabels) -> SourceLabelsID { SourceLabelsID(halves.intern(labels)) }

    /// For a worker that has come to know a connection's peer; `.none` beyond the budget.
    public func id(ofPeer labels: SourceLabels) -> SourceLabelsID {
        guard labels.byteCount <= Self.peerBytesMax else { return overflow() }
        return peers.withLock { peers in
            if let known = halves.identifier(of: labels) { return SourceLabelsID(known) }
            guard peers < peersMax else { return overflow() }
            peers += 1
            return SourceLabelsID(halves.intern(labels))
        }
    }

    private func overflow() -> SourceLabelsID {
        overflowed.wrappingAdd(1, ordering: .relaxed)
        return .none
    }

    /// The text of a half; that of `.none` for an id never given out.
    public func labels(_ id: SourceLabelsID) -> SourceLabels { halves.value(id.rawValue) }

    /// Halves added for peers.
    public var peerCount: Int { peers.withLock { $0 } }
}
