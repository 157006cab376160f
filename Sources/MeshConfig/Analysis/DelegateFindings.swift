/// VirtualServices that hand rules to others, one level deep: missing delegates (IST0101), delegates that cannot act as one (SKN0353).
enum DelegateFindings {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        let byID = Dictionary(context.configuration.virtualServices.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        for rule in context.configuration.virtualServices {
            for (index, route) in rule.http.enumerated() {
                guard let wanted = route.delegate, !wanted.name.isEmpty else { continue }
                let field = "spec.http[\(index)].delegate"
                let id = ResourceID(
                    kind: "VirtualService", namespace: wanted.namespace.isEmpty ? rule.id.namespace : wanted.namespace, name: wanted.name)
                let shown = "\(id.namespace)/\(id.name)"
                guard let target = byID[id] else {
                    let meant = report.suggestion(
                        for: id.name, among: byID.keys.filter { $0.namespace == id.namespace }.map(\.name).sorted())
                    report.add(
                        .referenceNotFound, rule.id, route.position, field,
                        "no VirtualService \(shown): requests of this rule go on to the next", hint: meant)
                    continue
                }
                if id == rule.id {
                    report.add(
                        .delegateIgnored, rule.id, route.position, field,
                        "a VirtualService cannot delegate to itself: requests of this rule go on to the next")
                } else if !target.hosts.isEmpty {
                    report.add(
                        .delegateIgnored, rule.id, route.position, field,
                        "VirtualService \(shown) has hosts of its own, so it is no delegate: requests of this rule go on to the next",
                        hint: "Remove spec.hosts of \(shown).")
                } else if let inner = target.http.firstIndex(where: { $0.delegate != nil }) {
                    let further = target.http[inner].delegate
                    let furtherNamespace = further.map { $0.namespace.isEmpty ? target.id.namespace : $0.namespace }
                    let isCircle = further?.name == rule.id.name && furtherNamespace == rule.id.namespace
                    report.add(
                        .delegateIgnored, rule.id, route.position, field,
                        "http[\(inner)] of the delegate \(shown) (line \(target.http[inner].position.line)) delegates "
                            + "\(isCircle ? "back" : "further"), which only one level may: that rule is left out")
                }
            }
        }
    }
}
