import Primitives
import Synchronization
import TelemetryModel
import Testing

@Suite struct OutcomeShardTests {
    private func counts(_ shard: OutcomeShard) -> [OutcomeKey: OutcomeSnapshot] {
        var found: [OutcomeKey: OutcomeSnapshot] = [:]
        shard.read { found[$0.key] = $0 }
        return found
    }

    /// linkerd's and Kiali's rule for HTTP, OpenTelemetry's for gRPC.
    @Test func outcomes() {
        func http(_ code: UInt16) -> RequestOutcome { RequestOutcome(responseCode: code, isGRPC: false, grpcStatus: 255) }
        #expect(http(200) == .success && http(404) == .success && http(429) == .success && http(499) == .success)
        #expect(http(500) == .failure && http(503) == .failure && http(0) == .unanswered)
        let failures: Set<UInt8> = [2, 4, 12, 13, 14, 15, 255]
        for status in UInt8(0)...UInt8(255) {
            let outcome = RequestOutcome(responseCode: 200, isGRPC: true, grpcStatus: status)
            #expect(outcome == (failures.contains(status) ? .failure : .success), "grpc-status \(status)")
        }
        // No gRPC server said this.
        #expect(RequestOutcome(responseCode: 503, isGRPC: true, grpcStatus: 255) == .failure)
        #expect(RequestOutcome(responseCode: 404, isGRPC: true, grpcStatus: 255) == .success)
    }

    /// Any requests are counted as a plain table would count them.
    @Test func countsAsATableDoes() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix64(seed)
        let shard = OutcomeShard(rowsMax: 2000)
        var model: [OutcomeKey: (outcomes: [UInt64], retries: UInt64, sum: UInt64, buckets: [UInt64])] = [:]
        for _ in 0..<20_000 {
            var key = OutcomeKey(route: NameID(random.below(8)), cluster: NameID(random.below(8)))
            if random.below(2) == 0 { key.endpoint = SocketEndpoint(ipv4: random.below(4), port: UInt16(random.below(4))) }
            let outcome = RequestOutcome.allCases[Int(random.below(3))]
            let duration = UInt64(random.below(5_000_000))
            let retries = UInt64(random.below(3))
            shard.record(key, outcome, durationMicroseconds: duration, retries: retries)
            var row = model[key] ?? ([0, 0, 0], 0, 0, [UInt64](repeating: 0, count: HistogramBuckets.count))
            row.outcomes[Int(outcome.rawValue)] += 1
            row.retries += retries
            row.sum += duration
            row.buckets[HistogramBuckets.index(ofMicroseconds: duration)] += 1
            model[key] = row
        }
        let found = counts(shard)
        #expect(Set(found.keys) == Set(model.keys), "seed \(seed)")
        for (key, row) in model {
            #expect(found[key]?.outcomes == row.outcomes && found[key]?.retries == row.retries, "seed \(seed)")
            #expect(found[key]?.duration.sum == row.sum && found[key]?.duration.buckets == row.buckets, "seed \(seed)")
        }
        #expect(shard.overflowed.load(ordering: .relaxed) == 0)
    }

    /// Endpoints come and go for as long as the process lives: the table stays as large as it may be, and no request is lost.
    @Test func whatHasNoRowIsCountedTogether() {
        let shard = OutcomeShard(rowsMax: 10)
        for address in UInt32(0)..<100 {
            shard.record(
                OutcomeKey(cluster: NameID(1), endpoint: SocketEndpoint(ipv4: address, port: 80)), .success, durationMicroseconds: 1,
                retries: 0)
        }
        let found = counts(shard)
        #expect(found.count == 10 && found[.overflow]?.outcomes == [91, 0, 0])
        #expect(shard.overflowed.load(ordering: .relaxed) == 91)
    }

    /// Keys come, expire and come again: what is there is what a dictionary with as much room would have.
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func expiryBehavesAsADictionary(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let shard = OutcomeShard(rowsMax: 20)
        var model: [OutcomeKey: UInt64] = [:]
        var recorded: UInt64 = 0
        var expired: UInt64 = 0
        for step in 0..<20_000 {
            if random.below(100) != 0 {
                let key = OutcomeKey(
                    route: NameID(random.below(2)), cluster: NameID(random.below(3)),
                    endpoint: SocketEndpoint(ipv4: random.below(5), port: 80))
                shard.record(key, .success, durationMicroseconds: 3, retries: 1)
                recorded += 1
                let hasRoom = model[key] != nil || model.keys.count { $0 != .overflow } < 19
                model[hasRoom ? key : .overflow, default: 0] += 1
            } else {
                // Some have counted since they were looked at, and the overflow row is never given away.
                let idle = model.filter { _ in random.below(3) == 0 }.map { (key: $0.key, requests: $0.value + UInt64(random.below(2))) }
                shard.expire(idle)
                for (key, requests) in idle where key != .overflow && model[key] == requests {
                    expired += requests
                    model[key] = nil
                }
            }
            guard step % 97 == 0 else { continue }
            let found = counts(shard)
            guard found.mapValues(\.requests) == model, found.values.allSatisfy({ $0.retries == $0.requests }) else {
                Issue.record("seed \(seed), step \(step): \(found.count) rows, expected \(model.count)")
                return
            }
        }
        #expect(counts(shard).values.reduce(0) { $0 + $1.requests } + expired == recorded, "a request was counted nowhere")
        #expect(shard.overflowed.load(ordering: .relaxed) > 0 && expired > 0)
    }

    /// A row that is given to another key while somebody reads it is never read as a mixture of both.
    @Test func aReaderNeverSeesTheCountsOfAnotherKey() async {
        let shard = OutcomeShard(rowsMax: 8)
        let isFinished = Atomic<Bool>(false)
        async let torn = Task.detached {
            var torn = 0
            while !isFinished.load(ordering: .acquiring) {
                // A key's requests last as long as its number says, and no two keys share an address.
                shard.read { row in
                    if row.duration.sum != row.requests * row.key.endpoint.low, row.duration.sum % row.key.endpoint.low != 0 { torn += 1 }
                    if row.key.endpoint.low != UInt64(row.key.cluster.rawValue) { torn += 1 }
                }
            }
            return torn
        }.value
        for number in 1...60_000 as ClosedRange<UInt32> {
            let key = OutcomeKey(cluster: NameID(number), endpoint: SocketEndpoint(ipv4: number, port: 80))
            shard.record(key, .success, durationMicroseconds: UInt64(number), retries: 0)
            shard.record(key, .success, durationMicroseconds: UInt64(number), retries: 0)
            shard.expire([(key, 2)])
        }
        isFinished.store(true, ordering: .releasing)
        let found = await torn
        #expect(found == 0)
        #expect(shard.overflowed.load(ordering: .relaxed) == 0)
    }
}

private struct SplitMix64 {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func below(_ bound: UInt32) -> UInt32 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return UInt32((mixed >> 33) % UInt64(bound))
    }
}
