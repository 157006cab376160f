import Primitives
import Synchronization
import TelemetryModel
import Testing

@Suite struct SourceCatalogTests {
    static func peer(_ number: Int) -> SourceLabels {
        var labels = SourceLabels()
        labels.principal = "spiffe://cluster.local/ns/default/sa/client-\(number)"
        return labels
    }

    /// Whoever connects again is who it was, for every worker: otherwise each connection would make series of its own.
    @Test func aPeerKeepsItsID() {
        let catalog = SourceCatalog()
        let first = catalog.id(ofPeer: Self.peer(1))
        #expect(first != .none)
        #expect(catalog.id(ofPeer: Self.peer(1)) == first)
        #expect(catalog.id(Self.peer(1)) == first, "a configuration that names it means the same")
        #expect(catalog.id(ofPeer: Self.peer(2)) != first)
        #expect(catalog.labels(first) == Self.peer(1))
        #expect(catalog.peerCount == 2)
    }

    /// Strangers with ever new identities neither fill the memory nor take the place of what configurations name.
    @Test func peersBeyondTheBoundAreUnknownAndCounted() {
        let catalog = SourceCatalog(peersMax: 3)
        let named = catalog.id(Self.peer(0))
        #expect(catalog.id(ofPeer: Self.peer(0)) == named, "what a configuration has named is none of them")
        let known = (1...3).map { catalog.id(ofPeer: Self.peer($0)) }
        #expect(Set(known).count == 3 && !known.contains(.none))
        #expect(catalog.id(ofPeer: Self.peer(4)) == .none)
        #expect(catalog.id(ofPeer: Self.peer(5)) == .none)
        #expect(catalog.overflowed.load(ordering: .relaxed) == 2)
        #expect(catalog.id(ofPeer: Self.peer(2)) == known[1], "who was there before stays known")
        #expect(catalog.id(Self.peer(6)) != .none, "configurations go on")
        #expect(catalog.labels(.none) == SourceLabels())
        #expect(catalog.peerCount == 3)
    }

    @Test func aPeerWithTooMuchTextIsUnknown() {
        let catalog = SourceCatalog()
        var labels = SourceLabels()
        labels.principal = "spiffe://" + String(repeating: "x", count: SourceCatalog.peerBytesMax)
        #expect(catalog.id(ofPeer: labels) == .none)
        #expect(catalog.overflowed.load(ordering: .relaxed) == 1)
        #expect(catalog.peerCount == 0)
    }

    /// Workers that meet the same peers at the same time agree on their ids, and no more than the bound are added.
    @Test func workersAgree() async {
        let catalog = SourceCatalog(peersMax: 50)
        let results = await withTaskGroup(of: [SourceLabelsID].self) { group in
            for _ in 0..<4 { group.addTask { (0..<100).map { catalog.id(ofPeer: Self.peer($0)) } } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        for number in 0..<100 {
            let ids = Set(results.map { $0[number] }).subtracting([.none])
            #expect(ids.count <= 1)
        }
        #expect(catalog.peerCount == 50)
    }

    /// A key is two words to the shard; both halves and everything else must survive that.
    @Test func joinedKeysComeBackWhole() {
        let shard = REDShard(seriesMax: 64)
        var expected: Set<SeriesKey> = []
        for (source, destination) in [(0, 0), (0, 7), (7, 0), (7, 7), (UInt32.max - 1, 1), (1, UInt32.max - 1)] as [(UInt32, UInt32)] {
            let labels = LabelPair(source: SourceLabelsID(source), destination: DestinationLabelsID(destination))
            for flags in [[], .noRouteFound, ResponseFlags(rawValue: .max)] as [ResponseFlags] {
                var key = SeriesKey(labels: labels, responseCode: .max, flags: flags, side: .inbound)
                key.isGRPC = true
                key.grpcStatus = 14
                expected.insert(key)
                shard.record(key, REDSample())
            }
        }
        var found: Set<SeriesKey> = []
        shard.read { found.insert($0.key) }
        #expect(found == expected)
        #expect(expected.count == 18)
    }
}
