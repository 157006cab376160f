import Dispatch
import Glibc
import OutlierDetection
import Primitives
import Synchronization
import Testing

@Suite struct UpstreamStateTests {
    static func address(_ number: Int) -> SocketEndpoint { SocketEndpoint(ipv4: 0x0A00_0000 + UInt32(number), port: 80) }

    static func one(_ state: UpstreamState, endpoints: Int = 1) -> SlotAssignment.Cluster {
        state.slots(for: [ClusterMembership(key: ClusterKey(1), endpoints: (0..<endpoints).map(address))]).clusters[0]
    }

    // MARK: Limits

    @Test(arguments: UpstreamResource.allCases)
    func aLimitIsReachedAndNeverPassed(resource: UpstreamResource) {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let cluster = Self.one(state).slot
        #expect((0..<5).map { _ in state.tryAcquire(resource, cluster: cluster, limit: 3) } == [true, true, true, false, false])
        #expect(state.held(resource, cluster: cluster) == 3 && state.overflow(resource, cluster: cluster) == 2)
        state.release(resource, cluster: cluster)
        #expect(state.tryAcquire(resource, cluster: cluster, limit: 3))
        // Others are not touched, and without a limit there is always room.
        for other in UpstreamResource.allCases where other != resource { #expect(state.held(other, cluster: cluster) == 0) }
        #expect(state.tryAcquire(resource, cluster: cluster, limit: .max))
        #expect(!state.tryAcquire(resource, cluster: cluster, limit: 0))
    }

    /// A limit is one over all threads at every moment, it is reached, and everything is given back.
    @Test(arguments: [1, 2, 7] as [UInt32])
    func limitsHoldAcrossThreads(limit: UInt32) {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let cluster = Self.one(state).slot
        let inside = Atomic<Int>(0), most = Atomic<Int>(0), refused = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            var random = RandomSource(seed: UInt64(thread))
            var mine = 0
            for _ in 0..<100_000 {
                // Taken and given back at once as often as possible: most meetings are at the limit itself.
                if mine > 0, mine == limit || random.below(4) != 0 {
                    inside.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                    state.release(.requests, cluster: cluster)
                    mine -= 1
                } else if state.tryAcquire(.requests, cluster: cluster, limit: limit) {
                    let now = inside.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                    most.max(now, ordering: .relaxed)
                    mine += 1
                } else {
                    refused.wrappingAdd(1, ordering: .relaxed)
                }
            }
            for _ in 0..<mine {
                inside.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                state.release(.requests, cluster: cluster)
            }
        }
        #expect(most.load(ordering: .relaxed) == Int(limit), "the limit was passed, or never reached")
        #expect(state.held(.requests, cluster: cluster) == 0)
        #expect(state.overflow(.requests, cluster: cluster) == UInt64(refused.load(ordering: .relaxed)))
        #expect(state.unbalancedReleases.load(ordering: .relaxed) == 0)
    }

    /// Two threads that want the last unit at the same moment: one gets it, one is refused.
    @Test func theLastUnitIsGivenOnce() {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let cluster = Self.one(state).slot
        let rounds = 20_000, threads = 2
        let arrived = Atomic<Int>(0), granted = Atomic<Int>(0), wrong = Atomic<Int>(0)
        @Sendable func meet(_ meeting: Int) {
            arrived.wrappingAdd(1, ordering: .sequentiallyConsistent)
            var spins = 0
            while arrived.load(ordering: .sequentiallyConsistent) < meeting * threads {
                spins += 1
                if spins % 1000 == 0 { sched_yield() }
            }
        }
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            for round in 0..<rounds {
                meet(3 * round + 1)
                let isMine = state.tryAcquire(.connections, cluster: cluster, limit: 1)
                if isMine { granted.wrappingAdd(1, ordering: .relaxed) }
                meet(3 * round + 2)
                if thread == 0, granted.exchange(0, ordering: .relaxed) != 1 { wrong.wrappingAdd(1, ordering: .relaxed) }
                if isMine { state.release(.connections, cluster: cluster) }
                meet(3 * round + 3)
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(state.held(.connections, cluster: cluster) == 0 && state.overflow(.connections, cluster: cluster) == UInt64(rounds))
    }

    /// With nobody giving back, exactly `limit` of all attempts succeed: no refusal is spurious.
    @Test func exactlyTheLimitIsGranted() {
        for round in 1...50 as ClosedRange<UInt32> {
            let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
            let cluster = Self.one(state).slot
            let granted = Atomic<UInt32>(0)
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                for _ in 0..<100 where state.tryAcquire(.pending, cluster: cluster, limit: round * 3) {
                    granted.wrappingAdd(1, ordering: .relaxed)
                }
            }
            #expect(granted.load(ordering: .relaxed) == round * 3)
        }
    }

    /// A cluster that fails collects no more waiting retries than its budget.
    @Test func retryBudgetCountsWaitingRetries() {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let cluster = Self.one(state).slot
        let budget = RetryBudget(partsPerMillion: 200_000, minRetryConcurrency: 3)
        // Nothing in flight: the minimum.
        #expect((0..<4).map { _ in state.tryAcquireRetry(cluster: cluster, budget: budget) } == [true, true, true, false])
        for _ in 0..<3 { state.retryBackOffBegan(cluster: cluster) }
        #expect(state.retriesInBackOff(cluster: cluster) == 3 && state.held(.retries, cluster: cluster) == 3)
        #expect(!state.tryAcquireRetry(cluster: cluster, budget: budget))
        // 20 % of 17 + 4 is 4.
        for _ in 0..<17 { #expect(state.tryAcquire(.requests, cluster: cluster, limit: .max)) }
        for _ in 0..<4 { #expect(state.tryAcquire(.pending, cluster: cluster, limit: .max)) }
        #expect(state.tryAcquireRetry(cluster: cluster, budget: budget))
        #expect(!state.tryAcquireRetry(cluster: cluster, budget: budget))
        #expect(state.overflow(.retries, cluster: cluster) == 3)
        state.retryBackOffEnded(cluster: cluster)
        state.release(.retries, cluster: cluster)
        #expect(state.tryAcquireRetry(cluster: cluster, budget: budget))
    }

    /// Against the times themselves: never fewer than the requests of the current window, never more than those of two, and none once both
    /// are over.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func windowOfRequestsFollowsTheTimes(seed: UInt64) {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let cluster = Self.one(state).slot
        var random = RandomSource(seed: seed)
        let window: UInt64 = 1_000_000
        var now: UInt64 = 5_000_000_000
        var times: [UInt64] = []
        for _ in 0..<3000 {
            now += UInt64(random.below(random.below(50) == 0 ? 3_000_000 : 30_000))
            let instant = MonotonicInstant(nanoseconds: now)
            state.requestSeen(cluster: cluster, windowNanoseconds: window, now: instant)
            times.append(now)
            let seen = Int(state.requestsSeen(cluster: cluster, windowNanoseconds: window, now: instant))
            let most = times.count { now - $0 <= 2 * window }
            #expect(seen >= 1 && seen <= most, "seed \(seed) at \(now)")
        }
        // Evenly spread requests are counted to within a few.
        for _ in 0..<3000 {
            now += 1000
            state.requestSeen(cluster: cluster, windowNanoseconds: window, now: MonotonicInstant(nanoseconds: now))
        }
        let seen = state.requestsSeen(cluster: cluster, windowNanoseconds: window, now: MonotonicInstant(nanoseconds: now))
        #expect((995...1005).contains(seen), "\(seen)")
        #expect(state.requestsSeen(cluster: cluster, windowNanoseconds: window, now: MonotonicInstant(nanoseconds: now + 2 * window)) == 0)
        // A clock that went back, and no window at all.
        #expect(state.requestsSeen(cluster: cluster, windowNanoseconds: window, now: MonotonicInstant(nanoseconds: 0)) <= 2000)
        #expect(state.requestsSeen(cluster: cluster, windowNanoseconds: 0, now: MonotonicInstant(nanoseconds: now)) == 0)
    }

    @Test func retryBudgetArithmetic() {
        #expect(RetryBudget().limit(active: 0, pending: 0) == 3)
        #expect(RetryBudget(partsPerMillion: 1_000_000, minRetryConcurrency: 0).limit(active: 70, pending: 7) == 77)
        #expect(RetryBudget(partsPerMillion: 125_000, minRetryConcurrency: 0).limit(active: 15, pending: 0) == 1)
        #expect(RetryBudget(partsPerMillion: .max, minRetryConcurrency: 0).limit(active: .max, pending: .max) == .max)
    }

    // MARK: Outcomes

    /// However the errors are spread over threads, one of them hears of the crossing.
    @Test func aCrossingIsReportedOnce() {
        for round in 0..<50 {
            let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
            let endpoint = Self.one(state).endpoints[0]
            let thresholds = OutlierSettings.istio(consecutive5xxErrors: 100, consecutiveGatewayErrors: 70).thresholds
            let fiveXX = Atomic<Int>(0), gateway = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                for _ in 0..<50 {
                    let crossing = state.record(.response(status: 503), endpoint: endpoint, thresholds: thresholds)
                    if crossing.contains(.fiveXX) { fiveXX.wrappingAdd(1, ordering: .relaxed) }
                    if crossing.contains(.gateway) { gateway.wrappingAdd(1, ordering: .relaxed) }
                }
            }
            #expect(fiveXX.load(ordering: .relaxed) == 1 && gateway.load(ordering: .relaxed) == 1, "round \(round)")
        }
    }

    @Test func anyStatusIsALegalOutcome() {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let endpoint = Self.one(state).endpoints[0]
        var thresholds = OutlierSettings().thresholds
        thresholds.consecutive5xx = 1
        thresholds.consecutiveGateway = 1
        for status in UInt16.min...UInt16.max {
            let judge = OutlierJudge(state: state, seed: 1)
            _ = state.record(.response(status: 200), endpoint: endpoint, thresholds: thresholds)
            let crossing = state.record(.response(status: status), endpoint: endpoint, thresholds: thresholds)
            let expected: OutlierCrossing = [502, 503, 504].contains(status) ? [.fiveXX, .gateway] : 500...599 ~= status ? .fiveXX : []
            guard crossing == expected else {
                Issue.record("\(status): \(crossing)")
                return
            }
            judge.crossed(endpoint, crossing, now: MonotonicInstant(nanoseconds: 1))
        }
    }

    /// UNAVAILABLE and DEADLINE_EXCEEDED are gateway errors, INTERNAL is a 5xx, NOT_FOUND is the client's affair.
    @Test func gRPCStatusesAreJudgedAsHTTPOnes() {
        let statuses = (0...17 as ClosedRange<UInt32>).map { AttemptOutcome.grpc(status: $0) }
        #expect(statuses.first == .response(status: 200) && statuses[14] == .response(status: 503) && statuses[4] == .response(status: 504))
        let errors = statuses.indices.filter { if case .response(let status) = statuses[$0] { status >= 500 } else { false } }
        #expect(errors == [2, 4, 12, 13, 14, 15, 17])
        #expect(AttemptOutcome.grpc(status: .max) == .response(status: 500))
    }

    /// Workers go on counting while the judge ends intervals: no request is half in one and half in the next.
    @Test func intervalsSplitNoRequest() {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 8)
        let cluster = Self.one(state, endpoints: 5)
        var settings = OutlierSettings()
        settings.enforcingFailurePercentage = 100
        settings.maxEjectionPercent = 100
        settings.consecutive5xx = 0
        settings.failurePercentageThreshold = 50
        settings.failurePercentageMinimumHosts = 1
        settings.failurePercentageRequestVolume = 1
        let judge = OutlierJudge(state: state, seed: 1)
        judge.configure(
            [OutlierCluster(key: cluster.key, settings: settings, endpoints: cluster.endpoints)], now: MonotonicInstant(nanoseconds: 0))
        let thresholds = settings.thresholds
        let finished = Atomic<Int>(0)
        // Only successes: a failure rate can appear only if an interval boundary splits a request into total and success.
        DispatchQueue.concurrentPerform(iterations: 3) { thread in
            if thread == 0 {
                var now: UInt64 = 0
                while finished.load(ordering: .acquiring) < 2 {
                    now += 10_000_000_000
                    judge.tick(now: MonotonicInstant(nanoseconds: now))
                }
            } else {
                for _ in 0..<20_000 {
                    for endpoint in cluster.endpoints {
                        _ = state.record(.response(status: 200), endpoint: endpoint, thresholds: thresholds)
                    }
                }
                finished.wrappingAdd(1, ordering: .releasing)
            }
        }
        #expect(judge.statistics()[0].counters.detected.allSatisfy { $0 == 0 }, "a success was counted as a failure")
    }

    // MARK: Latency and load

    @Test func latencyPeaksAtOnceAndDecays() {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let endpoint = Self.one(state).endpoints[0]
        func record(_ milliseconds: UInt64, at seconds: Double) -> UInt32 {
            state.recordLatency(
                nanoseconds: milliseconds * 1_000_000, endpoint: endpoint, now: MonotonicInstant(nanoseconds: UInt64(seconds * 1e9)))
            return state.latencyMicroseconds(endpoint)
        }
        #expect(state.latencyMicroseconds(endpoint) == 0)
        #expect(record(10, at: 1) == 10_000)
        #expect(record(100, at: 1) == 100_000)
        // No time has passed: one fast answer does not make up for the slow one.
        #expect(record(10, at: 1) == 100_000)
        // After one decay time e^-1 of the difference is left.
        #expect(abs(Int(record(10, at: 11)) - 43_109) <= 1)
        // A worker whose clock is a moment behind changes nothing.
        #expect(abs(Int(record(10, at: 10.999)) - 43_109) <= 1)
        // Many fast answers decay like few: the rounding does not decide.
        for step in 1...10_000 { _ = record(10, at: 11 + Double(step) / 1000) }
        #expect(abs(Int(state.latencyMicroseconds(endpoint)) - 22_180) <= 300)
        #expect(record(.max / 1_000_000, at: 30) == UInt32.max / 16, "the longest that the cell holds")
    }

    @Test func activeRequestsReturnToZero() {
        let state = UpstreamState(clustersMax: 2, endpointsMax: 2)
        let endpoint = Self.one(state).endpoints[0]
        DispatchQueue.concurrentPerform(iterations: 4) { _ in
            for _ in 0..<10_000 {
                state.requestBegan(endpoint)
                state.requestEnded(endpoint)
            }
        }
        #expect(state.activeRequests(endpoint) == 0)
    }

    // MARK: Slots

    @Test func slotsAndCountsSurviveReloads() {
        let state = UpstreamState(clustersMax: 4, endpointsMax: 8)
        let first = state.slots(for: [ClusterMembership(key: ClusterKey(1), endpoints: [Self.address(1), Self.address(2)])])
        #expect(state.tryAcquire(.connections, cluster: first.clusters[0].slot, limit: 1))
        let second = state.slots(for: [
            ClusterMembership(key: ClusterKey(2), endpoints: [Self.address(2)]),
            ClusterMembership(key: ClusterKey(1), endpoints: [Self.address(2), Self.address(3)]),
        ])
        #expect(second.clusters[1].slot == first.clusters[0].slot)
        #expect(second.clusters[1].endpoints[0] == first.clusters[0].endpoints[1])
        // One address in two clusters is two endpoints.
        #expect(second.clusters[0].endpoints[0] != second.clusters[1].endpoints[0])
        #expect(state.held(.connections, cluster: second.clusters[1].slot) == 1)
        #expect(state.address(of: second.clusters[1].endpoints[1]) == Self.address(3))
        #expect(second.generation > first.generation)
    }

    /// A row gets a new owner only when no worker can name it and nothing in it is held.
    @Test func rowsAreReclaimedWhenIdleAndUnreachable() {
        let state = UpstreamState(clustersMax: 1, endpointsMax: 1)
        let old = Self.one(state)
        state.requestBegan(old.endpoints[0])
        #expect(state.tryAcquire(.requests, cluster: old.slot, limit: 1))
        let other = [ClusterMembership(key: ClusterKey(2), endpoints: [Self.address(9)])]
        let crowded = state.slots(for: other)
        #expect(crowded.clustersWithoutSlot == 1 && crowded.endpointsWithoutSlot == 1)
        #expect(crowded.clusters[0].slot == .none && crowded.clusters[0].endpoints == [.none])
        #expect(state.reclaim(adopted: crowded.generation) == 2, "a request is still under way")
        state.requestEnded(old.endpoints[0])
        state.release(.requests, cluster: old.slot)
        #expect(state.reclaim(adopted: crowded.generation - 1) == 2, "a worker may still use the old configuration")
        #expect(state.reclaim(adopted: crowded.generation) == 0)
        #expect(state.address(of: old.endpoints[0]) == nil)
        let fresh = state.slots(for: other)
        #expect(fresh.clusters[0].slot == old.slot && fresh.clusters[0].endpoints == old.endpoints)
        #expect(state.overflow(.requests, cluster: old.slot) == 0)
        // Named again in time, it is not reclaimed.
        _ = state.slots(for: [])
        _ = state.slots(for: other)
        #expect(state.reclaim(adopted: .max) == 0 && state.slotsUsed.endpoints == 1)
    }

    /// Without a row everything is admitted and nothing traps.
    @Test func noneIsHarmless() {
        let state = UpstreamState(clustersMax: 1, endpointsMax: 1)
        for _ in 0..<3 { #expect(state.tryAcquire(.requests, cluster: .none, limit: 1)) }
        state.release(.requests, cluster: .none)
        #expect(state.record(.reset, endpoint: .none, thresholds: OutlierSettings().thresholds) == [])
        #expect(state.isAvailable(.none) && state.latencyMicroseconds(.none) == 0)
        state.requestEnded(.none)
    }

    @Test func failedHealthCheckMakesUnavailableWithoutEjecting() {
        let state = UpstreamState(clustersMax: 1, endpointsMax: 1)
        let endpoint = Self.one(state).endpoints[0]
        state.setHealthCheckFailed(endpoint, true)
        #expect(!state.isAvailable(endpoint) && !state.isEjected(endpoint))
        state.setHealthCheckFailed(endpoint, false)
        #expect(state.isAvailable(endpoint))
    }
}
