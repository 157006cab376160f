@testable import CertificateExchange
import Testing

@Suite struct IssueRatesTests {
    @Test func aBurstThenSoManyASecond() {
        var rates = IssueRates(.init(burst: 3, perSecond: 0.5))
        var taken: [Bool] = []
        for _ in 0..<5 { taken.append(rates.take("a", now: 10)) }
        #expect(taken == [true, true, true, false, false])
        let other = rates.take("b", now: 10)
        #expect(other, "names do not share")
        // A clock that goes back gives nothing.
        let later = [11.0, 12, 12, 0, 12].map { rates.take("a", now: $0) }
        #expect(later == [false, true, false, false, false])
    }

    @Test func namesAreBounded() {
        var rates = IssueRates(.init(burst: 2, perSecond: 0.001))
        _ = rates.take("greedy", now: 0)
        _ = rates.take("greedy", now: 0)
        for number in 0..<10_000 { _ = rates.take("\(number)", now: 1) }
        #expect(rates.count == IssueRates.namesMax)
        let again = rates.take("greedy", now: 1)
        #expect(!again, "whoever has asked most is forgotten last")
    }
}
