/// Rules of `localityLbSetting`, of a DestinationRule and of the mesh (Istio: `ValidateLocalityLbSetting`).
struct LocalityChecks {
    let findings: Findings

    /// `hasOutlierDetection`: without it nothing is ever unhealthy, so that nothing fails over.
    func check(locality: NodeReader, hasOutlierDetection: Bool) {
        let given = ["distribute", "failover", "failoverPriority"].filter { !(locality.node($0)?.items?.isEmpty ?? true) }
        if given.contains("distribute"), given.contains("failover") {
            findings.error(
                locality.position("failover"), "\(locality.path).failover", "distribute and failover exclude each other; keep one")
        }
        if given.contains("failover") {
            for (label, position, path) in locality.positionedStrings("failoverPriority")
            where label.hasPrefix("topology.kubernetes.io/") || label == "topology.istio.io/subzone" {
                findings.error(position, path, "failover orders localities already; \(label) cannot be combined with it")
            }
        }
        if !hasOutlierDetection, given.contains("failover") || given.contains("failoverPriority") {
            findings.warn(
                locality.position, locality.path,
                "without outlierDetection no endpoint is ever found unhealthy, so nothing fails over; add outlierDetection: {}")
        }
        for entry in locality.children("failover") { check(failover: entry) }
        let distribute = locality.children("distribute")
        var sources = LocalitySet()
        for entry in distribute {
            if let from = entry.string("from") { check(locality: from, entry.position("from"), "\(entry.path).from", &sources) }
            var targets = LocalitySet()
            var total: Int64 = 0
            for (place, share) in entry.entries("to") {
                check(locality: place, share.position, share.path, &targets)
                let value = share.node.scalar.flatMap(NodeReader.integer) ?? 0
                if !(1...100).contains(value) {
                    findings.error(
                        share.position, share.path, "a share of \(value) is out of range; accepted: 1 to 100 (percent)", code: .outOfRange)
                }
                total &+= value
            }
            if total != 100 {
                findings.error(entry.position, entry.path, "the shares of \"to\" add up to \(total); they must add up to 100")
            }
        }
    }

    private func check(failover entry: NodeReader) {
        let sides = ["from", "to"].map { (name: $0, text: entry.string($0) ?? "") }
        for side in sides where side.text.contains("/") || side.text.contains("*") {
            findings.error(
                entry.position(side.name), "\(entry.path).\(side.name)",
                "\"\(side.text.prefix(64))\" is not accepted; failover is between regions, without zones or wildcards")
        }
        if sides[0].text == sides[1].text {
            findings.error(entry.position, entry.path, "from and to are both \"\(sides[0].text.prefix(64))\"; name two regions")
        }
    }

    private func check(locality text: String, _ position: SourcePosition, _ path: String, _ earlier: inout LocalitySet) {
        let parts = text.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
        if parts.contains("") {
            findings.error(
                position, path,
                "\"\(text.prefix(64))\" has an empty part; write REGION, REGION/ZONE or REGION/ZONE/SUBZONE, the last part perhaps *")
        } else if text.dropLast(text.hasSuffix("*") ? 1 : 0).contains("*") {
            findings.error(position, path, "\"\(text.prefix(64))\": a wildcard stands at the end only")
        } else if !earlier.insert(parts) {
            findings.error(position, path, "\"\(text.prefix(64))\" overlaps one before it; each locality may be named once")
        }
    }
}

/// Localities of which none may lie within another. Costs the parts of each.
private struct LocalitySet {
    /// Named as a whole, and those that have something named below them.
    private var whole: Set<String> = []
    private var above: Set<String> = []

    /// False when a locality overlaps one that was inserted. `*` at the end is the same as leaving it out, and means what is left over when
    /// it comes after others.
    mutating func insert(_ parts: [Substring]) -> Bool {
        let named = parts.last == "*" ? Array(parts.dropLast()) : parts
        let prefixes = (0...named.count).map { named.prefix($0).joined(separator: "/") }
        if prefixes.contains(where: whole.contains) || parts.last != "*" && above.contains(prefixes[named.count]) { return false }
        whole.insert(prefixes[named.count])
        above.formUnion(prefixes)
        return true
    }
}
