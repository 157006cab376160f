import TelemetryStore
import Testing
@testable import MeshRuntime

/// Tiers as operators write them.
@Suite struct SeriesTierOptionTests {
    private func parse(_ text: String) -> (tiers: [SeriesTier], problem: String) {
        switch SeriesTierOption.parse(text.split(separator: " ").map(String.init)) {
        case .tiers(let tiers): (tiers, "")
        case .problem(let problem): ([], problem)
        }
    }

    @Test func theDefaultsCanBeWritten() {
        #expect(parse("raw=2d 1m=31d 1h=400d").tiers == SeriesConfiguration().tiers)
    }

    @Test func agesAndSizesAreTheirs() {
        let tiers = parse("raw=6h,500MB 5m=forever,2GiB").tiers
        #expect(tiers.map(\.resolution) == [0, 300_000])
        #expect(tiers.map(\.ageMax) == [6 * 3_600_000, 0])
        #expect(tiers.map(\.bytesMax) == [500_000_000, 2 << 30])
    }

    @Test(arguments: [
        ("1m=31d", "the first window is raw"), ("raw=2d raw=3d", "each window is a multiple"),
        ("raw=2d 1h=1y 1m=1y", "each window is a multiple"),
        ("raw", "raw: write WINDOW=AGE"), ("raw=2d 1x=3d", "1x=3d: write WINDOW=AGE"), ("raw=0", "an age is a duration"),
        ("raw=2d,5", "a size is a number"), ("raw=2d,99999999999999999999GB", "a size is a number"),
        ("raw=2d,20000000TiB", "a size is a number"),
        ("raw=2d 31d=1y", "none longer than 30d"), ("raw=1d,2GB,3GB", "write WINDOW=AGE"),
        ("raw=1d 1s=1d 2s=1d 4s=1d 8s=1d 16s=1d 32s=1d", "6 at most"),
    ]) func whatIsNoTierIsSaid(text: String, problem: String) {
        #expect(parse(text).problem.contains(problem), "\(parse(text).problem)")
    }
}
