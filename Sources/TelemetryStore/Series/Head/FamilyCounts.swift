/// How many series each metric has that are not idle: what bounds the cardinality of a family. Counts rise on the writer thread when a
/// series is new, and are counted anew in the background, where idle series no longer count.
///
/// A series that wakes up again is counted with the next count: until then a family may have more than its bound. Any thread.
final class FamilyCounts: Sendable {
    private let counts = Monitor<[[UInt8]: Int]>([:])
    let familyMax: Int
    private let allMax: Int

    init(familyMax: Int, allMax: Int) {
        self.familyMax = familyMax
        self.allMax = allMax
    }

    /// Takes a place for a new series of a family; false = there is none. `all`: series there are.
    func take(_ family: [UInt8], all: Int) -> Bool {
        counts.withLock { counts in
            guard counts[family, default: 0] < familyMax, all < allMax else { return false }
            counts[family, default: 0] += 1
            return true
        }
    }

    func giveBack(_ family: [UInt8]) { counts.withLock { if let count = $0[family], count > 0 { $0[family] = count - 1 } } }

    func replace(_ new: [[UInt8]: Int]) { counts.withLock { $0 = new } }

    func count(of family: [UInt8]) -> Int { counts.withLock { $0[family] ?? 0 } }

    /// All of them.
    var all: [[UInt8]: Int] { counts.withLock { $0 } }
}
