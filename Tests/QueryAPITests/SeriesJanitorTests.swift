import Primitives
import QueryAPI
import TelemetryModel
import Testing

struct SeriesJanitorTests {
    /// Random traffic against an obvious model: a series is idle when its count has stood still for the whole time.
    @Test func agreesWithAnObviousModel() {
        let seed: UInt64 = 0x5EED_0031
        var random = RandomSource(seed: seed)
        var janitor = SeriesJanitor<SeriesKey>(idleSeconds: 10)
        let keys = (0..<UInt32(20)).map { number in
            SeriesKey(labels: LabelPair(source: SourceLabelsID(number)), responseCode: 200, flags: [], side: .outbound)
        }
        var counts = [UInt64](repeating: 0, count: 20)
        var history: [[(second: UInt64, count: UInt64)]] = Array(repeating: [], count: 20)
        var second: UInt64 = 100
        for _ in 0..<400 {
            second += UInt64(random.below(4))
            for key in 0..<20 where random.below(UInt32(key + 2)) == 0 { counts[key] += 1 }
            janitor.beginPass()
            for key in 0..<20 {
                let isSeen = random.below(30) != 0
                guard isSeen else {
                    history[key].removeAll()
                    continue
                }
                history[key].append((second, counts[key]))
                let standing = history[key].reversed().prefix { $0.count == counts[key] }.last?.second ?? second
                let isIdle = janitor.isIdle(keys[key], tokens: counts[key], now: MonotonicInstant(nanoseconds: second * 1_000_000_000))
                #expect(isIdle == (second - standing >= 10), "seed \(seed) second \(second) key \(key)")
            }
            janitor.endPass()
            #expect(janitor.count == history.count { !$0.isEmpty }, "seed \(seed)")
        }
    }
}
