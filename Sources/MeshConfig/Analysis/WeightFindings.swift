/// Weights that probably mean something else (SKN0362, SKN0363, SKN0364). Weights of 0 for all are loading's to refuse.
enum WeightFindings {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        for resource in context.resources(of: "VirtualService") {
            for kind in ["http", "tcp", "tls"] {
                for route in resource.spec.children(kind) { check(route, resource.id, &report) }
            }
        }
    }

    private static func check(_ route: NodeReader, _ id: ResourceID, _ report: inout AnalysisReport) {
        let destinations = route.children("route")
        guard destinations.count > 1 else { return }
        // What is beyond the range is loading's to refuse; clamped, no sum of them overflows.
        let weights = destinations.map { $0.has("weight") ? min(max(0, $0.integer("weight") ?? 0), Int64(Int32.max)) : nil }
        let total = weights.reduce(Int64(0)) { $0 + ($1 ?? 0) }
        guard total > 0 else { return }
        for (destination, weight) in zip(destinations, weights) {
            let host = destination.child("destination")?.string("host") ?? "it"
            let subset = destination.child("destination")?.string("subset").map { " \($0)" } ?? ""
            if weight == nil {
                report.add(
                    .weightMissing, id, destination.position, destination.path,
                    "\(host.prefix(253))\(subset.prefix(254)) has no weight among destinations that have one, so it gets nothing")
            } else if weight == 0 {
                report.add(
                    .weightZero, id, destination.position("weight"), "\(destination.path).weight",
                    "weight 0: \(host.prefix(253))\(subset.prefix(254)) gets nothing")
            }
        }
        guard total != 100, weights.allSatisfy({ $0 != nil }) else { return }
        let shares = weights.map { weight in
            let percent = (Double(weight ?? 0) * 1000 / Double(total)).rounded() / 10
            return percent == percent.rounded() ? "\(Int64(percent))" : "\(percent)"
        }
        report.add(
            .weightsNot100, id, destinations[0].position, "\(route.path).route",
            "the weights add up to \(total), not 100: they are shares of their sum, here "
                + "\(shares.prefix(10).joined(separator: ", "))\(shares.count > 10 ? "..." : "") %")
    }
}
