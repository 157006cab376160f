public import HTTP
public import Primitives

/// Where a request goes.
public enum RouteDecision: Sendable, BitwiseCopyable {
    /// No domain or no rule matched: 404 NR.
    case notFound
    /// The rule names a host or subset that does not exist: 503 NC.
    case noCluster(RouteChoice)
    case cluster(UInt32, RouteChoice)
    case redirect(RouteChoice)
    case directResponse(RouteChoice)

    public var isNotFound: Bool { if case .notFound = self { true } else { false } }
}

/// The rule that took a request, and what of it did.
public struct RouteChoice: Sendable, BitwiseCopyable {
    public var route: UInt32
    /// Index of the destination drawn; meaningless without one.
    public var destination: UInt32 = 0
    /// Index of the match that held; -1 = the rule has none.
    public var match: Int32
}

extension RoutingTables {
    /// Decides the route of a request. `draw` chooses among weighted destinations.
    public func decide(
        listener: Int, _ request: borrowing RouteRequest, _ head: borrowing MessageHead, draw: inout RandomSource
    ) -> RouteDecision {
        view.decide(listener: listener, request.parts, head, draw: &draw)
    }
}

extension TableView {
    func decide(listener: Int, _ request: RequestParts, _ head: borrowing MessageHead, draw: inout RandomSource) -> RouteDecision {
        guard let host = findVirtualHost(listener, request), var taken = firstRule(of: host, request, head) else { return .notFound }
        let destinations = rows.routes[taken.route].destinations
        taken.destination = destinations.start
        switch rows.routeActions[rows.routes[taken.route].actionIndex].kind {
        case .redirect: return .redirect(taken)
        case .directResponse: return .directResponse(taken)
        case .forward: break
        }
        taken.destination = drawDestination(destinations, totalWeight: rows.routes[taken.route].totalWeight, &draw)
        let cluster = rows.destinations[taken.destination].cluster
        return cluster < 0 ? .noCluster(taken) : .cluster(UInt32(cluster), taken)
    }

    /// The first rule of a virtual host that takes the request; nil = none does.
    private func firstRule(of host: Int, _ request: RequestParts, _ head: borrowing MessageHead) -> RouteChoice? {
        let port = rows.virtualHosts[host].port
        var candidates = RouteCandidates(rows.virtualHosts[host], path: request.path, self)
        while let index = candidates.advance(self) {
            let matches = rows.routes[index].matches
            if matches.isEmpty { return RouteChoice(route: index, match: -1) }
            for place in matches.indices where isMatch(place, port: port, request, head) {
                return RouteChoice(route: index, match: Int32(clamping: place))
            }
        }
        return nil
    }
}
