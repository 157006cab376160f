/// Copies that come back to where the requests are: a mirror to the route's own endpoints (SKN0360), services that mirror to each other
/// (SKN0361).
///
/// A copy goes straight to the mirror's endpoints and is not routed again, so nothing runs for ever; but each service of a circle gets
/// the other's requests, and one of the two mirrors is a mistake.
enum MirrorLoops {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        var graph = Graph()
        for rule in context.configuration.virtualServices {
            for (index, route) in rule.http.enumerated() {
                for (place, mirror) in route.mirrors.enumerated() where mirror.percentage > 0 && !mirror.destination.host.isEmpty {
                    let field = route.mirrors.count == 1 ? "spec.http[\(index)].mirror" : "spec.http[\(index)].mirrors[\(place)]"
                    checkItself(mirror.destination, of: route, rule, field, &report)
                    graph.add(mirror.destination, of: rule, field)
                }
            }
        }
        for edge in graph.closingEdges() {
            report.add(
                .mirrorCircle, edge.rule, edge.position, edge.field,
                "mirrors go round: \(edge.circle.joined(separator: " -> ")); each of these services gets copies of the others' requests")
        }
    }

    private static func checkItself(
        _ mirror: Destination, of route: HTTPRoute, _ rule: VirtualService, _ field: String, _ report: inout AnalysisReport
    ) {
        func name(_ destination: Destination) -> String { HostName.resolve(destination.host, namespace: rule.id.namespace).lowercased() }
        let host = name(mirror)
        let same = route.destinations.first { entry in
            let isUsed = entry.weight > 0 || route.destinations.count == 1
            // A mirror to the whole service reaches the endpoints of each of its subsets.
            let isSameSubset = mirror.subset.isEmpty || mirror.subset == entry.destination.subset
            let isSamePort = mirror.port == nil || entry.destination.port == nil || mirror.port == entry.destination.port
            return isUsed && name(entry.destination) == host && isSameSubset && isSamePort
        }
        guard let same else { return }
        let target = same.destination.subset.isEmpty ? host : "subset \(same.destination.subset) of \(host)"
        report.add(
            .mirrorToItself, rule.id, mirror.position, field,
            "the route sends to \(target) already, so its endpoints get copies of requests that they serve")
    }

    private struct Edge {
        var to: String
        var rule: ResourceID
        var position: SourcePosition
        var field: String
        /// Hosts of the circle that it closes, the first one at both ends.
        var circle: [String] = []
    }

    /// Hosts, and the hosts that requests to them are mirrored to.
    private struct Graph {
        private var edges: [String: [Edge]] = [:]
        /// In the order found, so that findings do not depend on hashing.
        private var order: [String] = []
        private var targets: Set<[String]> = []

        mutating func add(_ mirror: Destination, of rule: VirtualService, _ field: String) {
            let target = HostName.resolve(mirror.host, namespace: rule.id.namespace).lowercased()
            for host in rule.hosts where rule.appliesToMesh && !host.hasPrefix("*") {
                guard targets.count < AnalysisLimits.mirrors else { return }
                let source = HostName.resolve(host, namespace: rule.id.namespace).lowercased()
                // Another subset of the same service is the usual way to mirror.
                guard source != target else { continue }
                guard targets.insert([source, target]).inserted else { continue }
                if edges[source] == nil { order.append(source) }
                edges[source, default: []].append(Edge(to: target, rule: rule.id, position: mirror.position, field: field))
            }
        }

        /// The edges that lead back to a host on the way to them: one for each circle that a depth-first walk finds. Linear; no recursion.
        func closingEdges() -> [Edge] {
            var result: [Edge] = []
            var finished: Set<String> = []
            for start in order where !finished.contains(start) {
                var path: [(host: String, next: Int)] = [(start, 0)]
                var depth = [start: 0]
                while let top = path.last {
                    let list = edges[top.host] ?? []
                    guard top.next < list.count else {
                        finished.insert(top.host)
                        depth[top.host] = nil
                        path.removeLast()
                        continue
                    }
                    path[path.count - 1].next += 1
                    var edge = list[top.next]
                    if let place = depth[edge.to] {
                        // Long circles are told by their ends.
                        let hosts = path[place...].map(\.host)
                        edge.circle = (hosts.count > 8 ? hosts.prefix(4) + ["..."] + hosts.suffix(3) : hosts) + [edge.to]
                        result.append(edge)
                    } else if !finished.contains(edge.to) {
                        depth[edge.to] = path.count
                        path.append((edge.to, 0))
                    }
                }
            }
            return result
        }
    }
}
