import Testing
@testable import QueryAPI

/// Times that were written before are copied: no series may get another one's.
@Suite struct PointBeginningsTests {
    @Test func eachTimeIsItsOwn() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var state = seed
        func random(_ bound: Int64) -> Int64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int64(state >> 33) % bound
        }
        for _ in 0..<50 {
            var points = PointBeginnings()
            let step = 1 + random(90_000)
            for _ in 0..<1 + random(5) {
                points.startSeries()
                var time = random(2) == 0 ? 0 : random(20) * step - 5 * step
                for _ in 0..<random(40) {
                    var found: [UInt8] = []
                    points.append(time, to: &found)
                    var expected: [UInt8] = []
                    PointBeginnings.appendSeconds(time, to: &expected)
                    #expect(found == [UInt8(ascii: "[")] + expected + [UInt8(ascii: ",")], "seed \(seed)")
                    time += (1 + random(3)) * step
                }
            }
        }
    }
}
