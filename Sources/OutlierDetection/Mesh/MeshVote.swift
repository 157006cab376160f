/// Whether the reporters of an endpoint agree with a suspicion (docs/outliers.md).
///
/// Every opinion that holds has a say, but for those with less than half an even share of the volume a rate needs. Reporters of one
/// principal have one voice: it agrees when more than half of them do. More than half of the voices must agree, so that one reporter alone
/// decides where it is the only one, and never where there are others.
struct MeshVote: Sendable {
    var reporters = 0
    var agreeing = 0
    var voices = 0
    var voicesAgreeing = 0

    var isCarried: Bool { 2 * voicesAgreeing > voices }

    /// `window`: the one that ends. `volume`: attempts that the detector needs of all reporters together; 0 = everyone has a say.
    init(_ opinions: [MeshOpinion], window: UInt64, volume: UInt64, agrees: (MeshOpinion) -> Bool) {
        let holding = opinions.filter { $0.holds(at: window) && !$0.isAbsent }
        let count = UInt64(holding.count)
        var groups: [UInt32: (members: Int, agreeing: Int)] = [:]
        for opinion in holding where Self.hasSay(opinion, of: count, volume: volume) {
            let isAgreeing = agrees(opinion)
            reporters += 1
            agreeing += isAgreeing ? 1 : 0
            groups[opinion.group, default: (0, 0)].members += 1
            groups[opinion.group, default: (0, 0)].agreeing += isAgreeing ? 1 : 0
        }
        voices = groups.count
        voicesAgreeing = groups.values.count { 2 * $0.agreeing > $0.members }
    }

    /// A reporter that has ejected the endpoint itself has a say without attempts.
    static func hasSay(_ opinion: MeshOpinion, of count: UInt64, volume: UInt64) -> Bool {
        if opinion.ejected != nil || volume == 0 { return true }
        let (doubled, isBeyond) = opinion.counts.total.multipliedReportingOverflow(by: 2 * count)
        return isBeyond || doubled >= volume
    }
}
