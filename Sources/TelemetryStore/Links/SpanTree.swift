/// Which span of a trace hangs under which, as Zipkin's `SpanNode` has it. Rows are places in the list of spans it was built from.
///
/// Buffers are reused. Spans that hang under nothing (a circle of parents, a second span of one id and endpoint) are not walked, as in
/// Zipkin.
struct SpanTree {
    /// -1: no span is without a parent, and those whose parent is missing hang under a root that is none of them.
    var root = -1

    private var firstChild: [Int32] = []
    private var nextSibling: [Int32] = []
    /// Children of a root that is no span.
    private var tops: [Int32] = []
    private var queue: [(row: Int32, ancestor: Int32)] = []
    private var head = 0

    mutating func begin(_ count: Int) {
        root = -1
        firstChild.removeAll(keepingCapacity: true)
        nextSibling.removeAll(keepingCapacity: true)
        tops.removeAll(keepingCapacity: true)
        for _ in 0..<count {
            firstChild.append(-1)
            nextSibling.append(-1)
        }
    }

    /// `parent` -1 is the root that is no span.
    mutating func add(_ row: Int, under parent: Int) {
        guard parent >= 0 else {
            tops.append(Int32(row))
            return
        }
        nextSibling[row] = firstChild[parent]
        firstChild[parent] = Int32(row)
    }

    func hasChildren(_ row: Int) -> Bool { firstChild[row] >= 0 }

    mutating func startWalk() {
        queue.removeAll(keepingCapacity: true)
        head = 0
        if root >= 0 { queue.append((Int32(root), -1)) } else { for row in tops { queue.append((row, -1)) } }
    }

    /// The next span, breadth first, with its nearest ancestor that has a kind, or -1.
    mutating func nextSpan(hasKind: (Int) -> Bool) -> (row: Int, ancestor: Int)? {
        guard head < queue.count else { return nil }
        let (row, ancestor) = queue[head]
        head += 1
        let passedOn = hasKind(Int(row)) ? row : ancestor
        var child = firstChild[Int(row)]
        while child >= 0 {
            queue.append((child, passedOn))
            child = nextSibling[Int(child)]
        }
        return (Int(row), Int(ancestor))
    }

    private struct Key: Hashable {
        var id: UInt64
        var isShared = false
        /// Of a shared span only: two servers may answer the same client's id.
        var endpoint = LinkEndpoint.absent
    }

    /// Builds the tree of merged spans in their order, where ids may be there twice. A shared span hangs under the one with its id; a child
    /// prefers the shared span on its own endpoint; the first span without a parent is the root, and what has no place hangs under it.
    mutating func build(keyed nodes: [LinkNode]) {
        begin(nodes.count)
        var parents: [Key: Key?] = [:]
        parents.reserveCapacity(nodes.count)
        for node in nodes {
            if node.isShared {
                parents.updateValue(Key(id: node.id), forKey: Key(id: node.id, isShared: true, endpoint: node.local))
            } else {
                parents.updateValue(node.parentID == 0 ? nil : Key(id: node.parentID), forKey: Key(id: node.id))
            }
        }
        var rows: [Key: Int] = [:]
        for (row, node) in nodes.enumerated() {
            if node.isShared {
                rows[Key(id: node.id, isShared: true, endpoint: node.local)] = row
                // Spans between that say nothing of their endpoint find it by its id alone.
                rows[Key(id: node.id, isShared: true)] = row
                continue
            }
            let key = Key(id: node.id)
            if node.parentID == 0 {
                if root < 0 {
                    root = row
                    parents.removeValue(forKey: key)
                    continue
                }
            } else {
                let shared = Key(id: node.parentID, isShared: true, endpoint: node.local)
                if parents[shared] != nil { parents.updateValue(shared, forKey: key) }
            }
            rows[key] = row
        }
        for (key, parent) in parents {
            guard let row = rows[key] else { continue }
            let above = parent.flatMap { rows[$0] } ?? root
            if above != row { add(row, under: above) }
        }
    }
}
