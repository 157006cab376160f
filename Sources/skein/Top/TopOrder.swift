internal import ArgumentParser

/// In which order the rows of `skein top` stand.
enum TopOrder: String, ExpressibleByArgument, CaseIterable, Sendable {
    /// What has most failures a second first, then what is ejected, then the lowest success rate, then most requests.
    case wrong
    case name, success, requests, p50, p95, p99

    var next: TopOrder {
        let all = Self.allCases
        return all[((all.firstIndex(of: self) ?? 0) + 1) % all.count]
    }

    func sorted(_ rows: [TopRow]) -> [TopRow] { rows.sorted { precedes($0, $1) } }

    /// Full ones first, then as full as they are; `name` by name.
    func sorted(_ families: [TopFamily]) -> [TopFamily] {
        families.sorted { left, right in
            if self == .name { return left.metric < right.metric }
            let (mine, theirs) = (left.overflowedSamples, right.overflowedSamples)
            if mine != theirs { return mine > theirs }
            return left.series != right.series ? left.series > right.series : left.metric < right.metric
        }
    }

    private func precedes(_ left: TopRow, _ right: TopRow) -> Bool {
        // Each list of numbers: the greater one first.
        let (mine, theirs) = (rank(left), rank(right))
        for (one, other) in zip(mine, theirs) where one != other { return one > other }
        return left.name < right.name
    }

    private func rank(_ row: TopRow) -> [Double] {
        switch self {
        case .wrong: [row.failures, Double(row.ejected ?? 0), -(row.successRate ?? 2), row.requests]
        case .name: []
        case .success: [-(row.successRate ?? 2), row.requests]
        case .requests: [row.requests]
        case .p50: [row.p50 ?? -1, row.requests]
        case .p95: [row.p95 ?? -1, row.requests]
        case .p99: [row.p99 ?? -1, row.requests]
        }
    }
}
