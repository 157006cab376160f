/// Turns the spans of one trace into calls between services, by Zipkin's rules (semantics 2.11, "Dependency links").
///
/// Pure and iterative: every span is looked at once, and the search for an ancestor with a kind stops after `ancestorsMax` steps.
/// Services are numbers (0 = unknown), so that neither compaction nor queries compare text. Buffers are reused between traces.
struct DependencyLinker {
    /// A span as the linker needs it.
    struct Node {
        var id: UInt64
        /// 0 at the root.
        var parentID: UInt64
        /// `SpanKind.rawValue`.
        var kind: UInt8
        var isShared: Bool
        var hasError: Bool
        var localService: Int
        var remoteService: Int
    }

    static let ancestorsMax = 256

    private enum Kind { static let none: UInt8 = 0, client: UInt8 = 1, server: UInt8 = 2, producer: UInt8 = 3, consumer: UInt8 = 4 }

    /// Index of each node's parent in the trace, or -1.
    private var parents: [Int32] = []
    private var childCounts: [UInt32] = []
    private var byID: [UInt64: Int32] = [:]
    private var sharedByID: [UInt64: Int32] = [:]

    /// Calls `emit(parent, child, isError)` for each call. A shared server span hangs under the client span with the same id; a child
    /// prefers the shared span on its own endpoint; spans whose parent is not here hang off the root.
    mutating func link(_ nodes: [Node], emit: (_ parent: Int, _ child: Int, _ isError: Bool) -> Void) {
        indexTree(nodes)
        for index in nodes.indices { link(index, nodes, emit) }
    }

    private mutating func indexTree(_ nodes: [Node]) {
        parents.removeAll(keepingCapacity: true)
        childCounts.removeAll(keepingCapacity: true)
        let small = nodes.count <= 24
        if !small {
            byID.removeAll(keepingCapacity: true)
            sharedByID.removeAll(keepingCapacity: true)
            for (index, node) in nodes.enumerated() {
                if node.isShared {
                    if sharedByID[node.id] == nil { sharedByID[node.id] = Int32(index) }
                } else if byID[node.id] == nil {
                    byID[node.id] = Int32(index)
                }
            }
        }
        for _ in nodes { childCounts.append(0) }
        for (index, node) in nodes.enumerated() {
            var parent = -1
            if node.isShared, let client = find(node.id, shared: false, nodes, small) {
                parent = client
            } else if node.parentID != 0 {
                let shared = find(node.parentID, shared: true, nodes, small)
                let plain = find(node.parentID, shared: false, nodes, small)
                if let shared, plain == nil || nodes[shared].localService == node.localService { parent = shared } else { parent = plain ?? -1 }
            }
            if parent == index { parent = -1 }
            parents.append(Int32(parent))
            if parent >= 0 { childCounts[parent] += 1 }
        }
    }

    private func find(_ id: UInt64, shared: Bool, _ nodes: [Node], _ small: Bool) -> Int? {
        guard small else { return (shared ? sharedByID[id] : byID[id]).map(Int.init) }
        return nodes.firstIndex { $0.id == id && $0.isShared == shared }
    }

    private func link(_ index: Int, _ nodes: [Node], _ emit: (Int, Int, Bool) -> Void) {
        let node = nodes[index]
        var kind = node.kind
        // The server names the link better than the client does.
        if kind == Kind.client, childCounts[index] > 0 { return }
        if kind == Kind.none {
            // Instrumentation that names both sides but no kind is taken for a client.
            guard node.localService != 0, node.remoteService != 0 else { return }
            kind = Kind.client
        }
        var parent: Int
        var child: Int
        if kind == Kind.server || kind == Kind.consumer {
            child = node.localService
            parent = node.remoteService
            // A root server whose client is unknown has nobody to link with.
            if parents[index] < 0, node.parentID == 0, parent == 0 { return }
        } else {
            parent = node.localService
            child = node.remoteService
        }
        var hasError = node.hasError
        if kind == Kind.producer || kind == Kind.consumer {
            if parent != 0, child != 0 { emit(parent, child, hasError) }
            return
        }
        if let ancestor = ancestor(of: index, nodes) {
            let ancestorName = nodes[ancestor].localService
            if ancestorName != 0 {
                // Something between the ancestor and this client was not traced.
                if kind == Kind.client, node.localService != 0, ancestorName != node.localService {
                    emit(ancestorName, node.localService, false)
                }
                if kind == Kind.server || parent == 0 { parent = ancestorName }
            }
            // The client knows of failures that the server never saw.
            if Int(parents[index]) == ancestor, nodes[ancestor].kind == Kind.client, nodes[ancestor].hasError { hasError = true }
        }
        if parent != 0, child != 0 { emit(parent, child, hasError) }
    }

    /// The nearest ancestor that says what it is.
    private func ancestor(of index: Int, _ nodes: [Node]) -> Int? {
        var at = Int(parents[index])
        var steps = 0
        while at >= 0, steps < Self.ancestorsMax {
            if nodes[at].kind != Kind.none { return at }
            at = Int(parents[at])
            steps += 1
        }
        return nil
    }
}
