@testable import CertificateExchange
import Testing

@Suite struct IssueRatesTests {
    @Test func aBurstThenSoManyASecond() {
        var rates = IssueRates(.init(burst: 3, perSecond: 0.5))
        let atOnce = (0..<5).filter { _ in rates.take("a", now: 10) }
        #expect(atOnce.count == 3 && rates.take("b", now: 10), "names do not share")
        #expect(!rates.take("a", now: 11) && rates.take("a", now: 12) && !rates.take("a", now: 12))
        // A clock that goes back gives nothing.
        #expect(!rates.take("a", now: 0) && !rates.take("a", now: 12))
    }

    @Test func namesAreBounded() {
        var rates = IssueRates(.init(burst: 2, perSecond: 0.001))
        _ = rates.take("greedy", now: 0)
        _ = rates.take("greedy", now: 0)
        for number in 0..<10_000 { _ = rates.take("\(number)", now: 1) }
        #expect(rates.count == IssueRates.namesMax)
        #expect(!rates.take("greedy", now: 1), "whoever has asked most is forgotten last")
    }
}
