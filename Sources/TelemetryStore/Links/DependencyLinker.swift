/// Turns the spans of one trace into calls between services, by Zipkin's rules (semantics 2.11, "Dependency links"; its
/// `DependencyLinker`, `SpanNode` and `Trace`): merge what was reported in parts, build the tree, walk it from the root.
///
/// Pure, iterative, linear but for sorting. Services are numbers (0 = unknown), so that neither compaction nor queries compare text.
/// Buffers are reused between traces.
struct DependencyLinker {
    enum Kind { static let none: UInt8 = 0, client: UInt8 = 1, server: UInt8 = 2, producer: UInt8 = 3, consumer: UInt8 = 4 }

    /// Where few spans are, looking at each is cheaper than a table.
    private static let smallTrace = 32

    private var tree = SpanTree()
    private var rowByID: [UInt64: Int32] = [:]

    /// Whether the trace needs endpoints, merging and the tree by (id, shared, endpoint): an id is there twice, or a span is shared.
    mutating func needsMerging(_ nodes: [LinkNode]) -> Bool {
        if nodes.count > Self.smallTrace {
            rowByID.removeAll(keepingCapacity: true)
            for (row, node) in nodes.enumerated() {
                if node.isShared || rowByID.updateValue(Int32(row), forKey: node.id) != nil { return true }
            }
            return false
        }
        for row in nodes.indices {
            if nodes[row].isShared { return true }
            for other in 0..<row where nodes[other].id == nodes[row].id { return true }
        }
        return false
    }

    /// Calls `emit(parent, child, isError)` for each call. `nodes` are the spans in the order received, those of shorter trace ids first;
    /// `precedes` says which of two services' names comes first.
    mutating func connect(_ nodes: [LinkNode], precedes: (Int, Int) -> Bool, emit: (_ parent: Int, _ child: Int, _ isError: Bool) -> Void) {
        connect(nodes, isMerging: needsMerging(nodes), precedes: precedes, emit: emit)
    }

    /// The same, where `needsMerging(nodes)` has just been asked.
    mutating func connect(_ nodes: [LinkNode], isMerging: Bool, precedes: (Int, Int) -> Bool, emit: (Int, Int, Bool) -> Void) {
        guard !nodes.isEmpty else { return }
        if isMerging {
            let merged = NodeMerging.merged(nodes, precedes: precedes)
            tree.build(keyed: merged)
            walk(merged, emit)
        } else {
            buildPlain(nodes)
            walk(nodes, emit)
        }
    }

    /// The tree of spans with different ids: a parent that was not received is the root's place.
    private mutating func buildPlain(_ nodes: [LinkNode]) {
        tree.begin(nodes.count)
        var root = -1
        // Zipkin orders by id first, and the first span without a parent is the root.
        for row in nodes.indices where nodes[row].parentID == 0 && (root < 0 || nodes[row].id < nodes[root].id) { root = row }
        tree.root = root
        let isSmall = nodes.count <= Self.smallTrace
        for row in nodes.indices where row != root {
            let parent = nodes[row].parentID
            var found = -1
            if parent != 0 {
                if isSmall {
                    var at = 0
                    while at < nodes.count {
                        if nodes[at].id == parent { found = at; break }
                        at &+= 1
                    }
                } else {
                    found = rowByID[parent].map(Int.init) ?? -1
                }
            }
            tree.add(row, under: found < 0 ? root : found)
        }
    }

    /// Breadth first from the root, so that each span knows its nearest ancestor with a kind without a search.
    private mutating func walk(_ nodes: [LinkNode], _ emit: (Int, Int, Bool) -> Void) {
        tree.startWalk()
        while let (row, ancestor) = tree.nextSpan(hasKind: { nodes[$0].kind != Kind.none }) {
            connect(row, ancestor < 0 ? nil : nodes[ancestor], nodes, emit)
        }
    }

    private func connect(_ row: Int, _ ancestor: LinkNode?, _ nodes: [LinkNode], _ emit: (Int, Int, Bool) -> Void) {
        let node = nodes[row]
        var kind = node.kind
        // The server names the link better than the client does.
        if kind == Kind.client, tree.hasChildren(row) { return }
        let local = Int(node.local.service)
        let remote = Int(node.remoteService)
        if kind == Kind.none {
            // Instrumentation that names both sides but no kind is taken for a client.
            guard local != 0, remote != 0 else { return }
            kind = Kind.client
        }
        var parent: Int
        let child: Int
        if kind == Kind.server || kind == Kind.consumer {
            child = local
            parent = remote
            // A root server whose client is unknown has nobody to link with.
            if row == tree.root, parent == 0 { return }
        } else {
            parent = local
            child = remote
        }
        var hasError = node.hasError
        if kind == Kind.producer || kind == Kind.consumer {
            if parent != 0, child != 0 { emit(parent, child, hasError) }
            return
        }
        if let ancestor, ancestor.local.service != 0 {
            let name = Int(ancestor.local.service)
            // Something between the ancestor and this client was not traced.
            if kind == Kind.client, local != 0, name != local { emit(name, local, false) }
            if kind == Kind.server || parent == 0 { parent = name }
            // The client knows of failures that the server never saw.
            if ancestor.kind == Kind.client, node.parentID != 0, node.parentID == ancestor.id, ancestor.hasError { hasError = true }
        }
        if parent != 0, child != 0 { emit(parent, child, hasError) }
    }
}
