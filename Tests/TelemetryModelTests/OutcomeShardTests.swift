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
