import HTTP
import Primitives
@testable import Proxy
import Testing

@Suite struct ProxyLimitsTests {
    struct Change: Sendable {
        let apply: @Sendable (inout ProxyLimits) -> Void

        init(_ apply: @escaping @Sendable (inout ProxyLimits) -> Void) { self.apply = apply }
    }

    @Test func theDefaultsAreSound() { #expect(ProxyLimits().problem == nil) }

    /// Watermarks that cross each other would pause a connection for ever; buffers too small for a head would refuse every request.
    @Test(arguments: [
        (Change { $0.outputLowWatermark = $0.outputHighWatermark }, "outputLowWatermark must be below outputHighWatermark"),
        (Change { $0.readBytes = 4095 }, "readBytes must be at least 4096"),
        (Change { $0.http.fieldCountMax = 0 }, "fieldCountMax must be 1...128"),
        (Change { $0.http.fieldCountMax = 129 }, "fieldCountMax must be 1...128"),
        (Change { $0.http.targetBytesMax = $0.http.headBytesMax + 1 }, "targetBytesMax must be 1...headBytesMax"),
        (Change { $0.http.headBytesMax = 1 << 21 }, "headBytesMax must be at most 1 MiB"),
    ])
    func saysWhichRelationIsBroken(_ change: Change, _ expected: String) {
        var limits = ProxyLimits()
        change.apply(&limits)
        #expect(limits.problem == expected)
    }
}

@Suite struct SamplingThresholdTests {
    /// 100 % means every request, 0 % none; whatever is written beyond means the nearer of the two.
    @Test(arguments: [(0, 0), (100, 1 << 32), (50, 1 << 31), (-5, 0), (250, 1 << 32), (1, 42_949_672)] as [(Double, UInt64)])
    func isAShareOfAllDraws(_ percent: Double, _ threshold: UInt64) { #expect(TelemetryPlan.Side.threshold(percent: percent) == threshold) }

    /// `.nan` in YAML is a number: it must not end the process.
    @Test func nothingIsSampledWhenTheShareIsNoNumber() { #expect(TelemetryPlan.Side.threshold(percent: .nan) == 0) }
}
