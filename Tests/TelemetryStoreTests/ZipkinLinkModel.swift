import TelemetryModel
@testable import TelemetryStore

/// Zipkin's way from the spans of one trace to its calls, on plain values and without any thought of speed: sort and merge the parts of
/// each span, hang the spans under each other, walk from the root. What `DependencyLinker` and everything around it must agree with.
struct ZipkinLinkModel {
    struct Endpoint: Hashable {
        var service = ""
        var address = ""
        var port: UInt16 = 0
    }

    struct Call: Hashable {
        var parent: String
        var child: String
    }

    final class Node {
        let span: PlainTestSpan?
        var parent: Node?
        var children: [Node] = []
        init(_ span: PlainTestSpan?) { self.span = span }
    }

    private struct Key: Hashable {
        var id: UInt64
        var server: Endpoint?
        var isShared: Bool
    }

    private(set) var calls: [Call: Int] = [:]
    private(set) var errors: [Call: Int] = [:]

    private static func endpoint(_ span: PlainTestSpan) -> Endpoint? {
        let address = span.ipv4.map { "\($0 >> 24).\($0 >> 16 & 255).\($0 >> 8 & 255).\($0 & 255)" } ?? ""
        let endpoint = Endpoint(service: span.service, address: address, port: span.port)
        return endpoint == Endpoint() ? nil : endpoint
    }

    private static func comesFirst(_ left: PlainTestSpan, _ right: PlainTestSpan) -> Bool? {
        if left.id != right.id { return left.id < right.id }
        func rank(_ span: PlainTestSpan) -> Int { span.isShared ? 2 : span.kind == .client ? 0 : 1 }
        if rank(left) != rank(right) { return rank(left) < rank(right) }
        switch (endpoint(left), endpoint(right)) {
        case (nil, nil): return nil
        case (nil, _): return true
        case (_, nil): return false
        case let (one?, other?):
            for (a, b) in [(one.service, other.service), (one.address, other.address)] where a != b {
                if a.isEmpty || b.isEmpty { return b.isEmpty }
                return Array(a.utf8).lexicographicallyPrecedes(Array(b.utf8))
            }
            return nil
        }
    }

    private static func differs(_ one: Endpoint, _ other: Endpoint) -> Bool {
        (!one.service.isEmpty && !other.service.isEmpty && one.service != other.service)
            || (!one.address.isEmpty && !other.address.isEmpty && one.address != other.address)
            || (one.port != 0 && other.port != 0 && one.port != other.port)
    }

    static func merged(_ received: [PlainTestSpan]) -> [PlainTestSpan] {
        var sorted: [PlainTestSpan] = []
        for span in received {
            var span = span
            if span.parent == span.id { span.parent = 0 }
            let at = sorted.lastIndex { comesFirst(span, $0) != true }.map { $0 + 1 } ?? 0
            sorted.insert(span, at: at)
        }
        var result: [PlainTestSpan] = []
        while !sorted.isEmpty {
            let first = sorted.removeFirst()
            var span = first
            while let next = sorted.first, next.id == first.id, next.isShared == first.isShared,
                !differs(endpoint(span) ?? Endpoint(), endpoint(next) ?? Endpoint())
            {
                sorted.removeFirst()
                if span.parent == 0 { span.parent = next.parent }
                if span.kind == .unspecified { span.kind = next.kind }
                if span.service.isEmpty { span.service = next.service }
                if span.ipv4 == nil { span.ipv4 = next.ipv4 }
                if span.port == 0 { span.port = next.port }
                if span.remoteService.isEmpty { span.remoteService = next.remoteService }
                span.tags.merge(next.tags) { _, later in later }
            }
            if let last = result.last, last.id == first.id {
                if last.kind == .client, first.kind == .server { span.isShared = true }
                if span.isShared, first.parent == 0, last.parent != 0 { span.parent = last.parent }
            }
            result.append(span)
        }
        return result
    }

    private static func tree(_ spans: [PlainTestSpan]) -> Node {
        func plain(_ id: UInt64) -> Key { Key(id: id, server: nil, isShared: false) }
        func shared(_ id: UInt64, _ endpoint: Endpoint?) -> Key { Key(id: id, server: endpoint, isShared: true) }
        var parentOf: [Key: Key?] = [:]
        for span in spans {
            if span.isShared {
                parentOf[shared(span.id, endpoint(span))] = .some(plain(span.id))
            } else {
                parentOf.updateValue(span.parent == 0 ? nil : plain(span.parent), forKey: plain(span.id))
            }
        }
        var root: Node?
        var nodes: [Key: Node] = [:]
        for span in spans {
            let node = Node(span)
            if span.isShared {
                nodes[shared(span.id, endpoint(span))] = node
                nodes[shared(span.id, nil)] = node
            } else if span.parent == 0, root == nil {
                root = node
                parentOf.removeValue(forKey: plain(span.id))
            } else {
                let near = shared(span.parent, endpoint(span))
                if span.parent != 0, parentOf.keys.contains(near) { parentOf.updateValue(near, forKey: plain(span.id)) }
                nodes[plain(span.id)] = node
            }
        }
        let top = root ?? Node(nil)
        for (key, parent) in parentOf {
            guard let child = nodes[key] else { continue }
            let above = parent.flatMap { nodes[$0] } ?? top
            above.children.append(child)
            child.parent = above
        }
        return top
    }

    private mutating func count(_ parent: String, _ child: String, _ isError: Bool) {
        calls[Call(parent: parent, child: child), default: 0] += 1
        if isError { errors[Call(parent: parent, child: child), default: 0] += 1 }
    }

    /// `received` is one trace, in the order of arrival.
    mutating func add(_ received: [PlainTestSpan]) {
        let top = Self.tree(Self.merged(received))
        var queue = top.span == nil ? top.children : [top]
        while !queue.isEmpty {
            let node = queue.removeFirst()
            queue += node.children
            guard let span = node.span else { continue }
            if span.kind == .client, !node.children.isEmpty { continue }
            var kind = span.kind
            if kind == .unspecified {
                if span.service.isEmpty || span.remoteService.isEmpty { continue }
                kind = .client
            }
            let isServing = kind == .server || kind == .consumer
            let child = isServing ? span.service : span.remoteService
            var parent = isServing ? span.remoteService : span.service
            if isServing, node === top, parent.isEmpty { continue }
            var isError = span.tags["error"] != nil
            if kind == .producer || kind == .consumer {
                if !parent.isEmpty, !child.isEmpty { count(parent, child, isError) }
                continue
            }
            var above = node.parent
            while let next = above, next.span == nil || next.span?.kind == .unspecified { above = next.parent }
            if let ancestor = above?.span, !ancestor.service.isEmpty {
                if kind == .client, !span.service.isEmpty, ancestor.service != span.service { count(ancestor.service, span.service, false) }
                if kind == .server || parent.isEmpty { parent = ancestor.service }
                if ancestor.kind == .client, span.parent != 0, span.parent == ancestor.id, ancestor.tags["error"] != nil { isError = true }
            }
            if !parent.isEmpty, !child.isEmpty { count(parent, child, isError) }
        }
    }

    /// The links of all traces that began in the minutes of a window: spans with one low half of an id are one trace, shorter ids first.
    static func links(_ spans: [PlainTestSpan], endTimestamp: UInt64, lookback: UInt64) -> [DependencyLink] {
        var model = ZipkinLinkModel()
        let last = endTimestamp * 1000 / 60_000_000
        let first = (endTimestamp - lookback) * 1000 / 60_000_000
        for trace in Dictionary(grouping: spans, by: \.traceLow).values {
            let ordered = trace.enumerated().sorted { ($0.element.traceHigh, $0.offset) < ($1.element.traceHigh, $1.offset) }.map(\.element)
            let times = ordered.filter { $0.timestamp != 0 }
            let roots = times.filter { $0.parent == 0 || $0.parent == $0.id }
            let minute = ((roots.isEmpty ? times : roots).map(\.timestamp).min() ?? 0) / 60_000_000
            if minute >= first, minute <= last { model.add(ordered) }
        }
        return model.calls.map {
            DependencyLink(
                parent: $0.key.parent, child: $0.key.child, callCount: UInt64($0.value), errorCount: UInt64(model.errors[$0.key] ?? 0))
        }.sorted { ($0.parent, $0.child) < ($1.parent, $1.child) }
    }
}
