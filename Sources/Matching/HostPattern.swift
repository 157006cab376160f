public import Primitives

/// A host name, or all names below one: `example.com`, `*.example.com`, `*`. Case does not count. Istio: `hosts`, `sniHosts`
/// (reference: VirtualService, `TLSMatchAttributes`).
public struct HostPattern: Sendable, BitwiseCopyable {
    /// Bytes in the pool; without the star.
    let text: TableRange
    let isSuffix: Bool

    /// `*`.
    public var isAll: Bool { isSuffix && text.isEmpty }
}

extension MatcherPool {
    /// Whether a name is meant. A star stands for at least one character, so that no pattern with one takes an empty name.
    public func test(_ pattern: HostPattern, _ host: LentBytes) -> Bool {
        let wanted = rows.text.bytes(pattern.text)
        guard pattern.isSuffix else { return host.equalsIgnoringCase(wanted) }
        return host.count > wanted.count && host.suffix(wanted.count).equalsIgnoringCase(wanted)
    }
}
