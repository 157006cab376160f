import OutlierDetection
import Primitives
import Testing

/// Semantics 2.5 once more, as plainly as it can be written: milliseconds in Ints, percentages in Doubles, one dictionary.
private struct Model {
    struct Host {
        var ejectedAt: Int?
        var duration = 0
        var backoff = 0
        var backSince: Int?
        var ejections: UInt32 = 0
    }

    var hosts: [UInt32: Host] = [:]
    let base: Int, longest: Int, interval: Int, percent: Int
    let alwaysOne: Bool

    var ejected: Set<UInt32> { Set(hosts.filter { $0.value.ejectedAt != nil }.keys) }

    /// Nil = overflow.
    mutating func eject(_ id: UInt32, at now: Int) -> Int? {
        let fits = 100.0 * Double(ejected.count + 1) / Double(hosts.count) <= Double(percent)
        guard fits || alwaysOne && ejected.isEmpty, var host = hosts[id] else { return nil }
        if host.backoff * base < longest + base { host.backoff += 1 }
        host.duration = min(host.backoff * base, longest)
        host.ejectedAt = now
        host.ejections += 1
        hosts[id] = host
        return host.duration
    }

    /// Returns who came back.
    mutating func tick(at now: Int, failing: Set<UInt32>) -> (back: Set<UInt32>, mayEject: Set<UInt32>) {
        var back: Set<UInt32> = []
        for (id, host) in hosts {
            if let at = host.ejectedAt, now - at >= host.duration {
                hosts[id]?.ejectedAt = nil
                hosts[id]?.backSince = now
                back.insert(id)
            }
        }
        let mayEject = failing.filter { hosts[$0] != nil && hosts[$0]?.ejectedAt == nil }
        return (back, mayEject)
    }

    mutating func decay(at now: Int) {
        for (id, host) in hosts where host.ejectedAt == nil && host.backoff > 0 {
            if let since = host.backSince, now - since >= interval { hosts[id]?.backoff -= 1 }
        }
    }
}

@Suite struct OutlierDetectorTests {
    static func instant(_ milliseconds: Int) -> MonotonicInstant { MonotonicInstant(nanoseconds: UInt64(milliseconds) * 1_000_000) }

    @Test(arguments: Array(1...40) as [UInt64])
    func behavesAsTheModel(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var settings = OutlierSettings()
        let base = 1000 * Int(1 + random.below(60)), longest = max(base, 1000 * Int(1 + random.below(300)))
        let interval = 1000 * Int(1 + random.below(30))
        settings.baseEjectionTimeNanoseconds = UInt64(base) * 1_000_000
        settings.maxEjectionTimeNanoseconds = UInt64(longest) * 1_000_000
        settings.intervalNanoseconds = UInt64(interval) * 1_000_000
        settings.maxEjectionPercent = random.below(101)
        settings.alwaysEjectOneHost = random.below(2) == 0
        settings.enforcingFailurePercentage = 100
        settings.failurePercentageMinimumHosts = 1
        settings.enforcingConsecutiveGateway = 100
        var detector = OutlierDetector(settings: settings, seed: seed)
        var model = Model(
            base: base, longest: longest, interval: interval, percent: Int(settings.maxEjectionPercent),
            alwaysOne: settings.alwaysEjectOneHost)
        var now = 0
        var overflow: UInt64 = 0
        var ejections = 0
        for step in 0..<3000 {
            let id = random.below(12)
            let host = EndpointSlot(id)
            switch random.below(10) {
            case 0:
                detector.hostAdded(host)
                if model.hosts[id] == nil { model.hosts[id] = .init() }
            case 1 where random.below(4) == 0:
                let wasEjected = detector.hostRemoved(host)
                #expect(wasEjected == (model.hosts.removeValue(forKey: id)?.ejectedAt != nil), "seed \(seed) step \(step)")
            case 2...5:
                let kind: EjectionReason = random.below(2) == 0 ? .consecutive5xx : .consecutiveGatewayFailure
                let verdict = detector.consecutiveCrossed(host, kind, now: Self.instant(now))
                if let known = model.hosts[id], known.ejectedAt == nil {
                    if let duration = model.eject(id, at: now) {
                        ejections += 1
                        guard case .ejected(let ejection) = verdict, ejection.reason == kind, ejection.until == Self.instant(now + duration)
                        else {
                            Issue.record("seed \(seed) step \(step): \(verdict) instead of an ejection of \(duration) ms")
                            return
                        }
                    } else {
                        overflow += 1
                        #expect(verdict == .overflow, "seed \(seed) step \(step)")
                    }
                } else {
                    #expect(verdict == .ignored, "seed \(seed) step \(step)")
                }
            case 6:
                let cameBack = detector.activeHealthCheckSucceeded(host, now: Self.instant(now))
                #expect(cameBack == (model.hosts[id]?.ejectedAt != nil), "seed \(seed) step \(step)")
                if cameBack {
                    model.hosts[id]?.ejectedAt = nil
                    model.hosts[id]?.backSince = now
                }
            default:
                now += Int(random.below(UInt32(interval) * 2))
                // At most one host fails, so that the order of evaluation cannot matter; 85 of 100 is on the edge.
                let failures = random.below(3) == 0 ? 85 + random.below(16) : random.below(85)
                let sample = IntervalSample(host: host, external: .init(successes: 100 - failures, total: 100))
                let changes = detector.intervalTick(now: Self.instant(now), samples: [sample])
                let (back, mayEject) = model.tick(at: now, failing: failures >= 85 ? [id] : [])
                var expected = Set(back.map { EjectionChange.unejected(EndpointSlot($0)) })
                for id in mayEject {
                    if let duration = model.eject(id, at: now) {
                        ejections += 1
                        expected.insert(.ejected(Ejection(
                            host: EndpointSlot(id), reason: .failurePercentage, durationNanoseconds: UInt64(duration) * 1_000_000,
                            until: Self.instant(now + duration), count: model.hosts[id]?.ejections ?? 0)))
                    } else {
                        overflow += 1
                    }
                }
                model.decay(at: now)
                #expect(Set(changes) == expected, "seed \(seed) step \(step)")
            }
            guard detector.ejectionsActive == model.ejected.count,
                Set(detector.members.filter(detector.isEjected).map(\.rawValue)) == model.ejected,
                detector.members.allSatisfy({ Int(detector.backoff(of: $0)) == model.hosts[$0.rawValue]?.backoff }),
                detector.hostCount == model.hosts.count, detector.counters.overflow == overflow
            else {
                Issue.record("seed \(seed) step \(step): the detector and its model differ")
                return
            }
        }
        #expect(ejections > 0 || settings.maxEjectionPercent < 10, "seed \(seed): nothing happened")
    }

    @Test func successRateThresholdOfTheDocumentedExample() {
        #expect(OutlierDetector.successRateThreshold([50, 100, 100, 100, 100], factorThousandths: 1900) == 52)
        #expect(OutlierDetector.successRateThreshold([97, 97, 97], factorThousandths: 1900) == 97)
    }

    /// Jitter spreads the ends of ejections over exactly its range, reproducibly.
    @Test func jitterIsAddedWithinItsBounds() {
        var settings = OutlierSettings()
        settings.maxEjectionPercent = 100
        settings.maxEjectionTimeJitterNanoseconds = 3
        func durations(seed: UInt64) -> [UInt64] {
            var detector = OutlierDetector(settings: settings, seed: seed)
            return (0..<200 as Range<UInt32>).map { id in
                detector.hostAdded(EndpointSlot(id))
                let verdict = detector.consecutiveCrossed(EndpointSlot(id), .consecutive5xx, now: Self.instant(0))
                guard case .ejected(let ejection) = verdict else { return 0 }
                return ejection.durationNanoseconds - 30_000_000_000
            }
        }
        #expect(Set(durations(seed: 5)) == [0, 1, 2, 3])
        #expect(durations(seed: 5) == durations(seed: 5))
        #expect(durations(seed: 5) != durations(seed: 6))
    }

    /// A partial enforcement ejects about its share of detections.
    @Test func enforcementPercentageIsAChance() {
        var settings = OutlierSettings()
        settings.maxEjectionPercent = 100
        settings.enforcingConsecutive5xx = 30
        var detector = OutlierDetector(settings: settings, seed: 11)
        for id in 0..<10_000 as Range<UInt32> {
            detector.hostAdded(EndpointSlot(id))
            _ = detector.consecutiveCrossed(EndpointSlot(id), .consecutive5xx, now: Self.instant(0))
        }
        #expect(detector.counters.detected[0] == 10_000)
        // Six standard deviations of a binomial draw around 3,000.
        #expect((2725...3275).contains(detector.ejectionsActive))
    }

    /// A base time or multiplier at the end of the number range ends in a very long ejection, not in a trap.
    @Test func hugeTimesSaturate() {
        var settings = OutlierSettings()
        settings.maxEjectionPercent = 100
        settings.baseEjectionTimeNanoseconds = .max / 2
        settings.maxEjectionTimeNanoseconds = .max
        settings.maxEjectionTimeJitterNanoseconds = .max
        var detector = OutlierDetector(settings: settings, seed: 1)
        detector.hostAdded(EndpointSlot(1))
        for _ in 0..<4 {
            guard case .ejected = detector.consecutiveCrossed(EndpointSlot(1), .consecutive5xx, now: Self.instant(5)) else {
                Issue.record("not ejected")
                return
            }
            let cameBack = detector.activeHealthCheckSucceeded(EndpointSlot(1), now: Self.instant(6))
            #expect(cameBack)
        }
    }

    @Test func istioDefaults() {
        let absent = OutlierSettings.istio()
        #expect(absent.consecutive5xx == 5 && absent.enforcingConsecutive5xx == 100 && absent.enforcingConsecutiveGateway == 0)
        #expect(absent.maxEjectionPercent == 10 && absent.minHealthPercent == 0 && !absent.evaluatesRates)
        #expect(absent.intervalNanoseconds == 10_000_000_000 && absent.baseEjectionTimeNanoseconds == 30_000_000_000)
        let seed = OutlierSettings.istio(consecutive5xxErrors: 0, consecutiveGatewayErrors: 3, maxEjectionPercent: 0)
        #expect(seed.enforcingConsecutive5xx == 0 && seed.consecutiveGateway == 3 && seed.enforcingConsecutiveGateway == 100)
        #expect(seed.maxEjectionPercent == 10)
    }
}
