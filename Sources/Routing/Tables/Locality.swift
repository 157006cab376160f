/// Where a workload runs: `region/zone/subzone`, each part possibly missing from the right.
public struct Locality: Sendable, Hashable {
    public var region = ""
    public var zone = ""
    public var subzone = ""

    public init() {}

    public init(_ written: String) {
        let parts = written.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        region = parts[0]
        zone = parts.count > 1 ? parts[1] : ""
        subzone = parts.count > 2 ? parts[2] : ""
    }

    public var isEmpty: Bool { region.isEmpty }

    /// `region/zone/*`, `region/*`, `*` or a whole locality; what a pattern leaves out on the right matches anything.
    func matches(_ pattern: String) -> Bool {
        let own = [region, zone, subzone]
        for (place, part) in pattern.split(separator: "/", omittingEmptySubsequences: false).prefix(3).enumerated() {
            if part == "*" { return true }
            if part != own[place] { return false }
        }
        return true
    }

    /// As istiod ranks it: 0 = same subzone, 1 = same zone, 2 = same region, 3 = elsewhere.
    func distance(to other: Locality) -> UInt8 {
        if region != other.region { return 3 }
        if zone != other.zone { return 2 }
        return subzone == other.subzone ? 0 : 1
    }
}
