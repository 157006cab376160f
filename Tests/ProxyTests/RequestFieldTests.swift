import HTTP
import Primitives
@testable import Proxy
import Routing
import Testing

@Suite struct GRPCTimeoutTests {
    private func nanoseconds(_ text: String) -> UInt64? { unsafe withBytes(text) { bytes in unsafe GRPCTimeout.parse(LentBytes(bytes)) } }

    /// A client's deadline misread by a unit is a call given up a thousand times too early, or kept a thousand times too long.
    @Test(arguments: [
        ("1H", 3_600_000_000_000), ("1M", 60_000_000_000), ("2S", 2_000_000_000), ("5m", 5_000_000), ("7u", 7000), ("9n", 9),
        ("99999999m", 99_999_999_000_000),
    ] as [(String, UInt64)])
    func readsEveryUnit(_ text: String, _ expected: UInt64) { #expect(nanoseconds(text) == expected) }

    /// The gRPC document: one to eight digits and a unit. Whatever else it is, it must not end the process or set a limit that nobody asked
    /// for.
    @Test(arguments: ["", "S", "1", "1s", "1h", " 1S", "1 S", "-1S", "+1S", "1.5S", "123456789S", "0x1S", "S1", "1SS", "１S"])
    func ignoresWhatIsNone(_ text: String) { #expect(nanoseconds(text) == nil) }

    /// Zero is "already over", which is not "no limit": 0 stands for none further on.
    @Test func zeroIsTheShortestLimit() { #expect(nanoseconds("0S") == 1) }

    /// 99,999,999 hours overflow nanoseconds; wrapped around they would be some arbitrary short limit.
    @Test func moreThanAYearIsNoLimit() {
        #expect(nanoseconds("99999999H") == nil)
        #expect(nanoseconds("8760H") == 365 * 86_400_000_000_000)
        #expect(nanoseconds("8761H") == nil)
    }
}

@Suite struct RequestOverridesTests {
    /// The overrides that these fields make, and how many of them were taken (and so go no further).
    private func overrides(_ fields: (String, String)...) -> (RequestOverrides, taken: Int) {
        var result = RequestOverrides()
        var taken = 0
        for (name, value) in fields {
            unsafe withBytes(name) { name in
                unsafe withBytes(value) { value in
                    if unsafe result.take(LentBytes(name), LentBytes(value)) { taken += 1 }
                }
            }
        }
        return (result, taken)
    }

    /// An application that asks for a shorter limit than its route's gets it, and no upstream sees the wish.
    @Test func takesTimeLimits() {
        let (result, taken) = overrides(("x-envoy-upstream-rq-timeout-ms", "1500"), ("X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms", "500"))
        #expect(taken == 2)
        #expect(result.timeoutMilliseconds == 1500)
        #expect(result.perTryMilliseconds == 500)
        #expect(overrides(("x-envoy-upstream-rq-timeout-ms", "0")).0.timeoutMilliseconds == 0, "no limit is a wish as well")
        #expect(overrides(("x-envoy-upstream-rq-timeout-ms", "99999999999999")).0.timeoutMilliseconds == 0, "beyond a year is none")
    }

    /// A typing error must leave the route's limits, not remove them.
    @Test(arguments: ["", "abc", "-1", "1.5", "10s", "99999999999999999999999"])
    func aValueThatIsNoNumberChangesNothing(_ value: String) {
        let (result, taken) = overrides(
            ("x-envoy-upstream-rq-timeout-ms", value), ("x-envoy-max-retries", value), ("x-envoy-retriable-status-codes", value))
        #expect(taken == 3)
        #expect(result.timeoutMilliseconds == nil)
        #expect(result.attempts == nil)
        #expect((0..<4).allSatisfy { result.statusCodes[$0] == 0 })
    }

    /// Fields of that prefix which are somebody else's go on to the upstream.
    @Test(arguments: ["x-envoy-original-path", "x-envoy-decorator-operation", "x-envoy-", "x-envoy-max-retries2"])
    func leavesOtherFieldsAlone(_ name: String) { #expect(overrides((name, "1")).taken == 0) }

    /// A client must not be able to answer for us what the expected limit is.
    @Test func dropsTheFieldThatWeSet() { #expect(overrides(("x-envoy-expected-rq-timeout-ms", "1")).taken == 1) }

    @Test func boundsTheNumberOfTries() {
        #expect(overrides(("x-envoy-max-retries", "0")).0.attempts == 0)
        #expect(overrides(("x-envoy-max-retries", "3")).0.attempts == 3)
        #expect(overrides(("x-envoy-max-retries", "4294967297")).0.attempts == RequestOverrides.attemptsMax)
    }

    @Test func joinsTheConditionsOfBothFields() {
        let (result, _) = overrides(("x-envoy-retry-on", "5xx, reset,nonsense"), ("x-envoy-retry-grpc-on", "unavailable"))
        #expect(result.conditions == [.fiveXX, .reset, .unavailable])
    }

    /// Only what is a status, at most four of them: the field has a place in each request.
    @Test func keepsTheFirstStatusCodes() {
        let (result, _) = overrides(("x-envoy-retriable-status-codes", "409, 42,abc,,600, 503 ,404,418,425"))
        #expect([409, 503, 404, 418].allSatisfy { result.isListed($0) })
        #expect(!result.isListed(425))
        #expect(!result.isListed(42))
        #expect(!result.isListed(0), "an unused place matches nothing")
    }

    /// Envoy: conditions of the request are added to the route's; a number alone makes none.
    @Test func changesTheRoutesPolicyAsEnvoyDoes() {
        var none = RetryPolicy()
        none.attempts = 0
        overrides(("x-envoy-retry-on", "5xx")).0.apply(to: &none)
        #expect(none.attempts == 1)
        #expect(none.conditions == [.fiveXX], "a route without retries has no conditions to add to")
        #expect(none.isAskedFor)

        var usual = RetryPolicy.istioDefault
        overrides(("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "5")).0.apply(to: &usual)
        #expect(usual.attempts == 5)
        #expect(usual.conditions == RetryPolicy.istioDefault.conditions.union([.fiveXX]))

        var number = RetryPolicy.istioDefault
        overrides(("x-envoy-max-retries", "0")).0.apply(to: &number)
        #expect(number.attempts == 0, "a request can forbid retries")
        #expect(number.conditions == RetryPolicy.istioDefault.conditions)

        var untouched = RetryPolicy.istioDefault
        RequestOverrides().apply(to: &untouched)
        #expect(untouched.attempts == RetryPolicy.istioDefault.attempts)
        #expect(untouched.isAskedFor == RetryPolicy.istioDefault.isAskedFor)
    }
}
