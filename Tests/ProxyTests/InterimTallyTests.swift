@testable import Proxy
import Testing

@Suite struct InterimTallyTests {
    private func taken(_ sizes: [Int]) -> [Bool] {
        var tally = InterimTally()
        return sizes.map { tally.take(bytes: $0, countMax: 16, bytesMax: 1000) }
    }

    /// An upstream may hint as often as it likes up to the bound, and never again: not even with another attempt.
    @Test func countsToItsBound() {
        #expect(taken(Array(repeating: 10, count: 18)) == Array(repeating: true, count: 16) + [false, false])
    }

    /// What waits for a client that does not read is bounded in bytes as well.
    @Test func boundsTheirBytesTogether() {
        #expect(taken([600, 401, 400, 1, .max]) == [true, false, true, false, false])
        #expect(taken([.max]) == [false])
    }

    @Test func saysContinueOnce() {
        var tally = InterimTally()
        let passed = (0..<3).map { _ in tally.passesContinue() }
        #expect(passed == [true, false, false])
    }
}
