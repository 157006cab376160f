internal import Primitives

/// An endpoint that a detector found, and what its reporters say.
struct MeshSuspicion {
    var address: SocketEndpoint
    var reason: EjectionReason
    var evidence: MeshEvidence
    var isCarried: Bool
}

/// The detectors over one cluster's window: who stands out, in which numbers, and who agrees (docs/outliers.md). Pure.
///
/// An endpoint may be suspected by several detectors; they are tried in the order of the cases below until one ejects.
struct MeshDetection {
    typealias Candidate = (address: SocketEndpoint, endpoint: MeshEndpoint)

    let settings: OutlierSettings
    let detectors: MeshDetectors
    /// The one that ends.
    let window: UInt64
    let reporterName: (UInt32) -> String
    let voicesMax: Int

    /// `candidates`: those that are not ejected. `slow`: as `measured` found them, counted in their rows of slow windows.
    func suspicions(_ candidates: [Candidate], slow: [Slow]) -> [MeshSuspicion] {
        var found: [MeshSuspicion] = []
        for candidate in candidates {
            found += ofLocalVerdicts(candidate)
            found += ofRuns(candidate)
        }
        if settings.evaluatesRates {
            found += ofRates(candidates, .successRate, .failurePercentage, counts: externalCounts)
            if settings.splitExternalLocalOriginErrors {
                found += ofRates(candidates, .localOriginSuccessRate, .localOriginFailurePercentage) {
                    ($0.total - min($0.localFailures, $0.total), $0.total)
                }
            }
        }
        found += candidates.compactMap(ofErrorRate)
        return found + ofLatency(candidates, slow)
    }

    /// Reporters whose own detection ejected the endpoint: when most did, the mesh does.
    private func ofLocalVerdicts(_ candidate: Candidate) -> [MeshSuspicion] {
        let reasons = Set(candidate.endpoint.opinions.compactMap { $0.holds(at: window) ? $0.ejected : nil })
        return reasons.sorted { $0.rawValue < $1.rawValue }.compactMap { reason in
            let suspicion = suspicion(
                candidate, reason, value: 0, threshold: Double(threshold(of: reason)), volume: pooled(candidate.endpoint).total, needs: 0
            ) { $0.ejected == reason }
            guard suspicion.isCarried else { return nil }
            var carried = suspicion
            carried.evidence.value = Double(threshold(of: reason))
            return carried
        }
    }

    private func threshold(of reason: EjectionReason) -> UInt32 {
        switch reason {
        case .consecutive5xx: settings.consecutive5xx
        case .consecutiveGatewayFailure: settings.consecutiveGateway
        case .consecutiveLocalOriginFailure: settings.consecutiveLocalOrigin
        case .failurePercentage, .localOriginFailurePercentage: settings.failurePercentageThreshold
        default: 0
        }
    }

    /// Failures since the last window in which any reporter saw a success. Gateway errors first, as in Envoy.
    private func ofRuns(_ candidate: Candidate) -> [MeshSuspicion] {
        let endpoint = candidate.endpoint
        // What only grew in earlier windows has been judged then.
        guard !endpoint.counts.isEmpty else { return [] }
        let splits = settings.splitExternalLocalOriginErrors
        var kinds: [(EjectionReason, UInt64, UInt32)] = [
            (.consecutiveGatewayFailure, endpoint.gatewayRun, settings.consecutiveGateway),
            (.consecutive5xx, endpoint.errorsRun, settings.consecutive5xx),
        ]
        if splits { kinds.append((.consecutiveLocalOriginFailure, endpoint.localRun, settings.consecutiveLocalOrigin)) }
        return kinds.compactMap { reason, run, threshold in
            guard settings.enforcement(of: reason) > 0, threshold > 0, run >= UInt64(threshold) else { return nil }
            return suspicion(
                candidate, reason, value: Double(run), threshold: Double(threshold), volume: pooled(endpoint).total, needs: 0
            ) { $0.ejected == reason || $0.counts.successes == 0 && $0.counts.failures > 0 }
        }
    }

    /// Of what the reporters last said, in whichever window.
    private func pooled(_ endpoint: MeshEndpoint) -> AttemptCounts {
        var sum = AttemptCounts()
        for opinion in endpoint.opinions where opinion.holds(at: window) { sum += opinion.counts }
        return sum
    }

    private func externalCounts(_ counts: AttemptCounts) -> (successes: UInt64, total: UInt64) {
        let total = settings.splitExternalLocalOriginErrors ? counts.total - min(counts.localFailures, counts.total) : counts.total
        return (min(counts.successes, total), total)
    }

    /// Semantics 2.5, over the counts of all reporters in the window.
    private func ofRates(
        _ candidates: [Candidate], _ success: EjectionReason, _ failure: EjectionReason,
        counts: (AttemptCounts) -> (successes: UInt64, total: UInt64)
    ) -> [MeshSuspicion] {
        func percent(_ pair: (successes: UInt64, total: UInt64)) -> Double { Double(pair.successes) * 100 / Double(max(1, pair.total)) }
        var found: [MeshSuspicion] = []
        let rated = candidates.map { ($0, counts($0.endpoint.counts)) }.filter { $0.1.total > 0 }
        let compared = rated.filter { $0.1.total >= UInt64(settings.successRateRequestVolume) }
        if settings.enforcement(of: success) > 0, !compared.isEmpty, compared.count >= Int(settings.successRateMinimumHosts) {
            let threshold = OutlierDetector.successRateThreshold(
                compared.map { percent($0.1) }, factorThousandths: settings.successRateStdevFactorThousandths)
            for (candidate, pair) in compared where percent(pair) < threshold {
                found.append(
                    suspicion(
                        candidate, success, value: percent(pair), threshold: threshold, volume: pair.total,
                        needs: UInt64(settings.successRateRequestVolume)
                    ) { $0.ejected == success || counts($0.counts).total > 0 && percent(counts($0.counts)) < threshold })
            }
        }
        let loaded = rated.filter { $0.1.total >= UInt64(settings.failurePercentageRequestVolume) }
        let isAsked = settings.enforcement(of: failure) > 0
        guard isAsked, !loaded.isEmpty, loaded.count >= Int(settings.failurePercentageMinimumHosts) else { return found }
        let threshold = UInt64(settings.failurePercentageThreshold)
        func fails(_ pair: (successes: UInt64, total: UInt64)) -> Bool {
            pair.total > 0 && Self.isShare(pair.total - min(pair.successes, pair.total), of: pair.total, percent: threshold)
        }
        for (candidate, pair) in loaded where fails(pair) {
            found.append(
                suspicion(
                    candidate, failure, value: 100 - percent(pair), threshold: Double(threshold), volume: pair.total,
                    needs: UInt64(settings.failurePercentageRequestVolume)
                ) { $0.ejected == failure || fails(counts($0.counts)) })
        }
        return found
    }

    /// 100 × part ≥ percent × whole, without overflow.
    private static func isShare(_ part: UInt64, of whole: UInt64, percent: UInt64) -> Bool {
        let left = part.multipliedFullWidth(by: 100)
        let right = whole.multipliedFullWidth(by: percent)
        return (left.high, left.low) >= (right.high, right.low)
    }

    private func ofErrorRate(_ candidate: Candidate) -> MeshSuspicion? {
        var total = candidate.endpoint.counts.total
        var failures = candidate.endpoint.counts.failures
        // An endpoint that nobody asks now is not judged by what it did before.
        guard let rate = detectors.errorRate, total > 0 else { return nil }
        for past in candidate.endpoint.before.suffix(Int(clamping: rate.windows) - 1) {
            total = AttemptCounts.sum(total, past.total)
            failures = AttemptCounts.sum(failures, past.failures)
        }
        guard total >= rate.volume, Self.isShare(failures, of: total, percent: rate.percent) else { return nil }
        var found = suspicion(
            candidate, .errorRate, value: 100 * Double(failures) / Double(total), threshold: Double(rate.percent),
            volume: total, needs: rate.volume / max(1, rate.windows)
        ) { !$0.counts.isEmpty && Self.isShare($0.counts.failures, of: $0.counts.total, percent: rate.percent) }
        found.evidence.windows = rate.windows
        return found
    }

    /// An endpoint whose 95th percentile stood out against the median of its peers' own in the window that ends.
    struct Slow {
        var address: SocketEndpoint
        var p95: Double
        var threshold: Double
    }

    /// Those that have enough requests, and whether each was slow. An endpoint without enough says nothing about its row of slow windows.
    func measured(_ candidates: [Candidate]) -> (slow: [Slow], others: [SocketEndpoint]) {
        guard let detector = detectors.latency else { return ([], []) }
        let measured = candidates.compactMap { candidate -> (address: SocketEndpoint, p95: Double)? in
            let latency = candidate.endpoint.latency
            guard latency.total >= detector.volume, let p95 = latency.p95Milliseconds else { return nil }
            return (candidate.address, p95)
        }
        guard UInt64(measured.count) > detector.peersMin else { return ([], []) }
        let sorted = measured.map(\.p95).sorted()
        var slow: [Slow] = []
        var others: [SocketEndpoint] = []
        for one in measured {
            // The slow one's peers are all but itself: taken out of the sorted list, the middle moves by one place at most.
            let own = sorted.firstIndex(of: one.p95) ?? 0
            let middle = (sorted.count - 2) / 2
            let median = sorted[middle < own ? middle : middle + 1]
            let threshold = max(Double(detector.millisecondsMin), median * Double(detector.factorThousandths) / 1000)
            if one.p95 >= threshold {
                slow.append(Slow(address: one.address, p95: one.p95, threshold: threshold))
            } else {
                others.append(one.address)
            }
        }
        return (slow, others)
    }

    private func ofLatency(_ candidates: [Candidate], _ slow: [Slow]) -> [MeshSuspicion] {
        guard let detector = detectors.latency, !slow.isEmpty else { return [] }
        let byAddress = Dictionary(slow.map { ($0.address, $0) }, uniquingKeysWith: { first, _ in first })
        return candidates.compactMap { candidate in
            guard let one = byAddress[candidate.address], UInt64(candidate.endpoint.slowWindows) >= detector.windows else { return nil }
            var found = suspicion(
                candidate, .latency, value: one.p95, threshold: one.threshold, volume: candidate.endpoint.latency.total,
                needs: detector.volume
            ) { $0.p95Milliseconds >= one.threshold }
            found.evidence.windows = detector.windows
            return found
        }
    }

    private func suspicion(
        _ candidate: Candidate, _ reason: EjectionReason, value: Double, threshold: Double, volume: UInt64, needs: UInt64,
        agrees: (MeshOpinion) -> Bool
    ) -> MeshSuspicion {
        let opinions = candidate.endpoint.opinions
        let vote = MeshVote(opinions, window: window, volume: needs, agrees: agrees)
        var evidence = MeshEvidence(value: value, threshold: threshold, volume: volume)
        evidence.reporters = vote.reporters
        evidence.agreeing = vote.agreeing
        evidence.voices = vote.voices
        evidence.voicesAgreeing = vote.voicesAgreeing
        let sayings = opinions.filter { $0.holds(at: window) }.map { opinion in
            MeshEvidence.Saying(
                reporter: reporterName(opinion.reporter), agrees: agrees(opinion), counts: opinion.counts, ejected: opinion.ejected)
        }
        evidence.sayings = Array((sayings.filter(\.agrees) + sayings.filter { !$0.agrees }).prefix(voicesMax))
        return MeshSuspicion(address: candidate.address, reason: reason, evidence: evidence, isCarried: vote.isCarried)
    }
}
