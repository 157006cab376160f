/// Makes one span out of what was reported of it in parts or twice, by the rules of Zipkin's `Trace.merge`: sorted by id, clients before
/// servers, shared last, then by endpoint; neighbours of one id are one span when neither their shared flag nor their endpoints differ.
///
/// Zipkin merges so for links only: a trace that is read shows the parts.
enum NodeMerging {
    private typealias Kind = DependencyLinker.Kind

    static func merged(_ nodes: [LinkNode], precedes: (Int, Int) -> Bool) -> [LinkNode] {
        let order = nodes.indices.sorted { left, right in
            let order = compare(nodes[left], nodes[right], precedes)
            return order != 0 ? order < 0 : left < right
        }
        var result: [LinkNode] = []
        result.reserveCapacity(nodes.count)
        var at = 0
        while at < order.count {
            let first = nodes[order[at]]
            var merged = first
            var known = first.local
            at += 1
            while at < order.count, nodes[order[at]].id == first.id, nodes[order[at]].isShared == first.isShared,
                absorb(nodes[order[at]].local, into: &known)
            {
                fill(&merged, from: nodes[order[at]])
                at += 1
            }
            merged.local = known
            if let last = result.last, last.id == first.id {
                // Clients come first, so a server with the same id and no flag forgot it.
                if last.kind == Kind.client, first.kind == Kind.server { merged.isShared = true }
                if merged.isShared, first.parentID == 0, last.parentID != 0 { merged.parentID = last.parentID }
            }
            result.append(merged)
        }
        return result
    }

    private static func fill(_ node: inout LinkNode, from other: LinkNode) {
        if node.parentID == 0 { node.parentID = other.parentID }
        if node.kind == Kind.none { node.kind = other.kind }
        if node.remoteService == 0 { node.remoteService = other.remoteService }
        node.hasError = node.hasError || other.hasError
    }

    /// False when the endpoints differ in what both say; else `known` says what either does.
    private static func absorb(_ other: LinkEndpoint, into known: inout LinkEndpoint) -> Bool {
        if known.service != 0, other.service != 0, known.service != other.service { return false }
        if known.hasIPv4, other.hasIPv4, known.ipv4 != other.ipv4 { return false }
        if known.hasIPv6, other.hasIPv6, known.ipv6High != other.ipv6High || known.ipv6Low != other.ipv6Low { return false }
        if known.port != 0, other.port != 0, known.port != other.port { return false }
        if known.service == 0 { known.service = other.service }
        if !known.hasIPv4 { (known.hasIPv4, known.ipv4) = (other.hasIPv4, other.ipv4) }
        if !known.hasIPv6 { (known.hasIPv6, known.ipv6High, known.ipv6Low) = (other.hasIPv6, other.ipv6High, other.ipv6Low) }
        if known.port == 0 { known.port = other.port }
        return true
    }

    private static func compare(_ left: LinkNode, _ right: LinkNode, _ precedes: (Int, Int) -> Bool) -> Int {
        if left.id != right.id { return left.id < right.id ? -1 : 1 }
        if left.isShared != right.isShared { return left.isShared ? 1 : -1 }
        if !left.isShared, (left.kind == Kind.client) != (right.kind == Kind.client) { return left.kind == Kind.client ? -1 : 1 }
        return compare(left.local, right.local, precedes)
    }

    /// No endpoint first, so that its span joins the first that has one; of the parts of an endpoint, absent ones last.
    private static func compare(
        _ left: LinkEndpoint, _ right: LinkEndpoint, _ precedes: (Int, Int) -> Bool
    ) -> Int {
        if left.isAbsent || right.isAbsent { return left.isAbsent == right.isAbsent ? 0 : left.isAbsent ? -1 : 1 }
        if left.service != right.service {
            if left.service == 0 || right.service == 0 { return left.service == 0 ? 1 : -1 }
            return precedes(Int(left.service), Int(right.service)) ? -1 : 1
        }
        if left.hasIPv4 != right.hasIPv4 { return left.hasIPv4 ? -1 : 1 }
        if left.ipv4 != right.ipv4 { return text(left.ipv4).lexicographicallyPrecedes(text(right.ipv4)) ? -1 : 1 }
        if left.hasIPv6 != right.hasIPv6 { return left.hasIPv6 ? -1 : 1 }
        // By number, where Zipkin compares the text: it decides only which of two servers of one id comes first.
        if left.ipv6High != right.ipv6High { return left.ipv6High < right.ipv6High ? -1 : 1 }
        return left.ipv6Low == right.ipv6Low ? 0 : left.ipv6Low < right.ipv6Low ? -1 : 1
    }

    /// Zipkin compares addresses as they are written: 10.0.0.1 before 9.0.0.1.
    private static func text(_ ipv4: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        ValueText.append(.ipv4, UInt64(ipv4), 0, to: &bytes)
        return bytes
    }
}
