internal import Primitives

/// The detectors that compare rates over one interval (semantics 2.5). They judge who had enough requests and was not ejected when the tick
/// began to evaluate; an endpoint that the first detector ejects still counts towards the second one's minimum of hosts, as in Envoy.
extension OutlierDetector {
    mutating func evaluateRates(
        _ samples: [(host: EndpointSlot, counts: IntervalSample.Counts)], _ successRate: EjectionReason,
        _ failurePercentage: EjectionReason,
        now: MonotonicInstant, _ changes: inout [EjectionChange]
    ) {
        // Sorted by the detector's own order, so that the caller's does not decide whom `maxEjectionPercent` spares.
        let candidates = samples.compactMap { sample -> (position: Int, counts: IntervalSample.Counts)? in
            guard let position = position(of: sample.host), !hosts[position].isEjected, sample.counts.total > 0 else { return nil }
            return (position, sample.counts)
        }.sorted { $0.position < $1.position }

        for position in Self.belowSuccessRate(candidates, settings) {
            if case .ejected(let ejection) = detected(at: position, successRate, now: now) { changes.append(.ejected(ejection)) }
        }
        for position in Self.aboveFailurePercentage(candidates, settings) {
            if case .ejected(let ejection) = detected(at: position, failurePercentage, now: now) { changes.append(.ejected(ejection)) }
        }
    }

    /// Rate < mean − factor × population standard deviation, strictly. Rates are percentages: {50, 100, 100, 100, 100} has mean 90,
    /// deviation 20 and, with factor 1.9, threshold 52.
    private static func belowSuccessRate(
        _ candidates: [(position: Int, counts: IntervalSample.Counts)], _ settings: OutlierSettings
    ) -> [Int] {
        let rated = candidates.filter { $0.counts.total >= settings.successRateRequestVolume }.map {
            (position: $0.position, rate: Double($0.counts.successes) * 100 / Double($0.counts.total))
        }
        guard !rated.isEmpty, rated.count >= Int(settings.successRateMinimumHosts) else { return [] }
        let threshold = successRateThreshold(rated.map(\.rate), factorThousandths: settings.successRateStdevFactorThousandths)
        return rated.filter { $0.rate < threshold }.map(\.position)
    }

    /// Below which percentage of successes an endpoint stands out; `rates` (percent) is not empty.
    public static func successRateThreshold(_ rates: [Double], factorThousandths: UInt32) -> Double {
        let mean = rates.reduce(0, +) / Double(rates.count)
        let variance = rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rates.count)
        return mean - Double(factorThousandths) / 1000 * variance.squareRoot()
    }

    /// 100 × failures / total ≥ threshold, in integers, so that exactly 85 % is 85 %.
    private static func aboveFailurePercentage(
        _ candidates: [(position: Int, counts: IntervalSample.Counts)], _ settings: OutlierSettings
    ) -> [Int] {
        let loaded = candidates.filter { $0.counts.total >= settings.failurePercentageRequestVolume }
        guard !loaded.isEmpty, loaded.count >= Int(settings.failurePercentageMinimumHosts) else { return [] }
        return loaded.filter {
            let failures = UInt64($0.counts.total - min($0.counts.successes, $0.counts.total))
            return 100 * failures >= UInt64(settings.failurePercentageThreshold) * UInt64($0.counts.total)
        }.map(\.position)
    }
}
