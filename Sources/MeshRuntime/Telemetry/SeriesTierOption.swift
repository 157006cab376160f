internal import PromQL
internal import TelemetryStore

/// The tiers of the series as an operator writes them: `raw=2d 1m=31d 1h=400d,2GiB`, from fine to coarse.
enum SeriesTierOption {
    /// What each word may be, for errors.
    static let form = "write WINDOW=AGE or WINDOW=AGE,SIZE from fine to coarse, the first window raw, such as raw=2d 1m=31d 1h=400d,2GiB"

    private static let sizes: [(name: String, bytes: UInt64)] = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000), ("B", 1),
    ]

    enum Outcome {
        case tiers([SeriesTier])
        case problem(String)
    }

    static func parse(_ words: [String]) -> Outcome {
        var wanted: [(resolution: Int64, ageMax: Int64, bytesMax: UInt64)] = []
        for word in words {
            let parts = word.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, let resolution = parts[0] == "raw" ? 0 : try? PromDuration.parse(String(parts[0])) else {
                return .problem("\(word): \(form)")
            }
            let limits = parts[1].split(separator: ",", omittingEmptySubsequences: false)
            guard limits.count <= 2 else { return .problem("\(word): \(form)") }
            guard let age = limits[0] == "forever" ? 0 : try? PromDuration.parse(String(limits[0])),
                age > 0 || limits[0] == "forever"
            else { return .problem("\(word): an age is a duration such as 31d, or forever") }
            guard let bytes = limits.count == 2 ? size(limits[1]) : 0 else {
                return .problem("\(word): a size is a number and one of \(sizes.map(\.name).joined(separator: ", ")), such as 2GiB")
            }
            wanted.append((resolution, age, bytes))
        }
        guard wanted.first?.resolution == 0 else { return .problem("the first window is raw: \(form)") }
        guard let tiers = SeriesConfiguration.tiers(wanted) else {
            return .problem("""
                each window is a multiple of the one before, none longer than 30d, and there are \(SeriesConfiguration.tiersMax) at most: \
                \(form)
                """)
        }
        return .tiers(tiers)
    }

    /// Bytes; nil = no size above 0.
    private static func size(_ text: Substring) -> UInt64? {
        guard let unit = sizes.first(where: { text.hasSuffix($0.name) }), let count = UInt64(text.dropLast(unit.name.count)), count > 0
        else { return nil }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: unit.bytes)
        return overflow ? nil : bytes
    }
}
