/// VirtualServices that hand rules to others, one level deep: missing delegates (IST0101), delegates that cannot act as one (SKN0353).
enum DelegateFindings {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        let byID = Dictionary(context.configuration.virtualServices.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        for rule in context.configuration.virtualServices {
            for (index, route) in rule.http.enumerated() {
                guard let wanted = route.delegate, !wanted.name.isEmpty else { continue }
                let field = "spec.http[\(index)].delegate"
                let id = ResourceID(kind: "VirtualService", namespace: wanted.namespace.isEmpty ? rule.id.namespace : wanted.namespace, name: wanted.name)
                let shown = "\(id.namespace)/\(id.name)"
                guard let target = byID[id] else {
                    let names = byID.keys.filter { $0.namespace == id.namespace }.map(\.name).sorted()
                    let meant = report.isFull ? nil : EditDistance.nearest(to: id.name, among: Array(names.prefix(AnalysisLimits.suggestionCandidates)))
                    report.add(
                        .referenceNotFound, rule.id, route.position, field,
                        "no VirtualService \(shown): requests of this rule go on to the next", hint: meant.map { "Did you mean \($0)?" })
                    continue
                }
                if id == rule.id {
                    report.add(.delegateIgnored, rule.id, route.position, field, "a VirtualService cannot delegate to itself: requests of this rule go on to the next")
                } else if !target.hosts.isEmpty {
                    report.add(
                        .delegateIgnored, rule.id, route.position, field,
                        "VirtualService \(shown) has hosts of its own, so it is no delegate: requests of this rule go on to the next",
                        hint: "Remove spec.hosts of \(shown).")
                } else if let inner = target.http.firstIndex(where: { $0.delegate != nil }) {
                    let further = target.http[inner].delegate
                    let isCircle = further?.name == rule.id.name && (further?.namespace ?? "").isEmpty ? target.id.namespace == rule.id.namespace : further?.namespace == rule.id.namespace && further?.name == rule.id.name
                    report.add(
                        .delegateIgnored, rule.id, route.position, field,
                        "http[\(inner)] of the delegate \(shown) (line \(target.http[inner].position.line)) delegates \(isCircle ? "back" : "further"), which only one level may: that rule is left out"
                    )
                }
            }
        }
    }
}
