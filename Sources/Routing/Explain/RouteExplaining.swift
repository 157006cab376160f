public import HTTP
internal import MeshConfig
public import Primitives
internal import TelemetryModel

extension RoutingSnapshot {
    /// Explains a request. `draw` chooses among weighted destinations exactly as `decide` does with it.
    public func explain(
        listener: Int, _ request: borrowing RouteRequest, _ head: borrowing MessageHead, draw: inout RandomSource
    ) -> RouteExplanation {
        var result = RouteExplanation()
        let request = request.parts
        guard let host = view.findVirtualHost(listener, request) else { return result }
        result.hasVirtualHost = true
        let entry = view.rows.virtualHosts[host]
        for index in entry.routes.indices {
            let route = view.rows.routes[index]
            let origin = origins[UInt32(clamping: index)]
            var rule = RouteExplanation.Rule(
                route: UInt32(clamping: index), name: catalogs.name(of: route.name), position: origin?.position, resource: origin?.resource,
                matches: [], takes: route.matches.count == 0)
            for (offset, place) in route.matches.indices.enumerated() {
                let clauses = view.clauses(view.rows.matches[place], port: entry.port, request, head)
                let holds = clauses.allSatisfy(\.holds)
                let position = origin.flatMap { offset < $0.matches.count ? $0.matches[offset] : nil }
                rule.matches.append(RouteExplanation.Match(position: position, clauses: clauses, holds: holds))
                if holds {
                    rule.takes = true
                    break
                }
            }
            result.rules.append(rule)
            guard rule.takes else { continue }
            result.decision = view.decide(listener: listener, request, head, draw: &draw)
            result.destinations = explainDestinations(of: route, result.decision)
            break
        }
        return result
    }

    private func explainDestinations(of route: RouteEntry, _ decision: RouteDecision) -> [RouteExplanation.Destination] {
        let drawn: UInt32?
        switch decision {
        case .cluster(_, let choice), .noCluster(let choice): drawn = choice.destination
        case .notFound, .redirect, .directResponse: return []
        }
        return route.destinations.indices.map { index in
            let entry = view.rows.destinations[index]
            let name = entry.cluster < 0 ? "" : name(ofCluster: UInt32(entry.cluster))
            let share = route.totalWeight == 0 ? 0 : Double(entry.weight) / Double(route.totalWeight)
            return RouteExplanation.Destination(
                cluster: name, weight: entry.weight, share: share, isDrawn: drawn == UInt32(clamping: index), exists: entry.cluster >= 0)
        }
    }

    public func name(ofCluster index: UInt32) -> String { catalogs.name(of: view.rows.clusters[index].name) }
}
