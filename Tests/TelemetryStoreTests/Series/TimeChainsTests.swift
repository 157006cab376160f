import Testing
@testable import TelemetryStore

/// Columns of times that are put together of blocks' columns, against plain arrays.
@Suite struct TimeChainsTests {
    @Test func chainsAreTheirBlocksTimes() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for _ in 0..<50 {
            var chains = TimeChains()
            var expected = [[Int64]](repeating: [], count: 1 + random(20))
            var places = [Int](repeating: TimeChains.empty, count: expected.count)
            for block in 0..<random(8) {
                // A few columns in a block, among them one without times; some series are not in it.
                let columns = (0...2).map { count in (0..<count * 3).map { Int64(block * 1000 + $0 * (count + 1)) } }
                for series in expected.indices where random(5) > 0 {
                    let column = columns[random(4) == 0 ? random(3) : 2]
                    places[series] = chains.append(column, to: places[series])
                    expected[series] += column
                }
            }
            for series in expected.indices { #expect(chains.column(places[series]) == expected[series], "seed \(seed)") }
        }
    }

    /// Series that were sampled together have one array, not equal ones.
    @Test func equalTimesAreOneArray() {
        var chains = TimeChains()
        var places = [TimeChains.empty, TimeChains.empty]
        for block in 0..<3 {
            for series in places.indices { places[series] = chains.append([Int64(block), Int64(block) + 10], to: places[series]) }
        }
        #expect(places[0] == places[1])
    }
}
