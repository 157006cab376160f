/// Turns the spans of one trace into calls between services, by Zipkin's rules (semantics 2.11, "Dependency links"; its
/// `DependencyLinker`, `SpanNode` and `Trace`): merge what was reported in parts, build the tree, walk it from the root.
///
/// Pure, iterative, linear but for sorting. Services are numbers (0 = unknown), so that neither compaction nor queries compare text.
/// Buffers are reused between traces.
struct DependencyLinker {
    /// The local endpoint of a span; all zero = absent. `service` is a number of the caller's.
    struct Endpoint: Hashable {
        var service: Int32 = 0
        var port: UInt16 = 0
        var hasIPv4 = false
        var hasIPv6 = false
        var ipv4: UInt32 = 0
        var ipv6High: UInt64 = 0
        var ipv6Low: UInt64 = 0

        static let absent = Endpoint()
        var isAbsent: Bool { service == 0 && port == 0 && !hasIPv4 && !hasIPv6 }

        /// Takes a payload of a span: `key` is one of `PayloadKey`, and only those of the local endpoint count.
        mutating func set(_ key: UInt32, _ a: UInt64, _ b: UInt64) {
            switch key {
            case PayloadKey.localIPv4: (hasIPv4, ipv4) = (true, UInt32(truncatingIfNeeded: a))
            case PayloadKey.localPort: port = UInt16(truncatingIfNeeded: a)
            case PayloadKey.localIPv6: (hasIPv6, ipv6High, ipv6Low) = (true, a, b)
            default: break
            }
        }
    }

    /// A span as the linker needs it.
    struct Node {
        var id: UInt64
        /// 0 at the root.
        var parentID: UInt64
        /// `SpanKind.rawValue`.
        var kind: UInt8
        var isShared: Bool
        var hasError: Bool
        var remoteService: Int32
        /// Beyond its service it counts only in a trace where an id is there twice or shared.
        var local: Endpoint

        init(id: UInt64, parentID: UInt64, kind: UInt8, isShared: Bool, hasError: Bool, localService: Int, remoteService: Int) {
            self.id = id
            // A span cannot be its own parent; Zipkin takes such a one for a root.
            self.parentID = parentID == id ? 0 : parentID
            self.kind = kind
            self.isShared = isShared
            self.hasError = hasError
            self.remoteService = Int32(clamping: remoteService)
            local = Endpoint(service: Int32(clamping: localService))
        }
    }

    enum Kind { static let none: UInt8 = 0, client: UInt8 = 1, server: UInt8 = 2, producer: UInt8 = 3, consumer: UInt8 = 4 }

    /// Where few spans are, looking at each is cheaper than a table.
    private static let smallTrace = 32

    private var tree = SpanTree()
    private var rowByID: [UInt64: Int32] = [:]

    /// Whether the trace needs endpoints, merging and the tree by (id, shared, endpoint): an id is there twice, or a span is shared.
    mutating func needsMerging(_ nodes: [Node]) -> Bool {
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
    mutating func link(_ nodes: [Node], precedes: (Int, Int) -> Bool, emit: (_ parent: Int, _ child: Int, _ isError: Bool) -> Void) {
        link(nodes, isMerging: needsMerging(nodes), precedes: precedes, emit: emit)
    }

    /// The same, where `needsMerging(nodes)` has just been asked.
    mutating func link(_ nodes: [Node], isMerging: Bool, precedes: (Int, Int) -> Bool, emit: (Int, Int, Bool) -> Void) {
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
    private mutating func buildPlain(_ nodes: [Node]) {
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
    private mutating func walk(_ nodes: [Node], _ emit: (Int, Int, Bool) -> Void) {
        tree.start()
        while let (row, ancestor) = tree.next(hasKind: { nodes[$0].kind != Kind.none }) {
            link(row, ancestor < 0 ? nil : nodes[ancestor], nodes, emit)
        }
    }

    private func link(_ row: Int, _ ancestor: Node?, _ nodes: [Node], _ emit: (Int, Int, Bool) -> Void) {
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
