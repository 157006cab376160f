import OutlierDetection
import Primitives
import Testing

/// The rules of docs/outliers.md for consecutive errors once more, as plainly as they can be written: everything is kept and counted anew.
private struct Model {
    struct Window { var seen: [Int: [String: (ok: Int, errors: Int)]] = [:] }

    let threshold: Int, hosts: Int, percent: Int, base: Int
    var windows: [Window] = []
    /// The first window that counts for an endpoint, the end of its ejection in windows, and its multiplier.
    var since: [Int: Int] = [:]
    var until: [Int: Int] = [:]
    var backoff: [Int: Int] = [:]
    var backSince: [Int: Int] = [:]
    /// The last window in which somebody asked it.
    var lastSeen: [Int: Int] = [:]

    mutating func end(_ window: Window, hostNumbers: Range<Int>) {
        windows.append(window)
        let now = windows.count
        for host in hostNumbers where until[host].map({ $0 <= now }) == true {
            until[host] = nil
            // What was reported in this window, while it was out, is forgiven too: it is added again below as nothing.
            since[host] = now
            backSince[host] = now
        }
        for host in hostNumbers where until[host] == nil && isSuspect(host, now) {
            guard 100 * (until.count + 1) <= percent * hosts else { continue }
            if (backoff[host] ?? 0) * base < 300 + base { backoff[host, default: 0] += 1 }
            until[host] = now + min(backoff[host]! * base, 300) / 10
        }
        for host in hostNumbers where until[host] == nil && backoff[host, default: 0] > 0 {
            if let since = backSince[host], now - since >= 1 { backoff[host]! -= 1 }
        }
        // Whoever was asked by nobody for seven windows, and has no ejections behind it, begins anew.
        for host in hostNumbers {
            if window.seen[host] != nil { lastSeen[host] = now }
            guard until[host] == nil, backoff[host, default: 0] == 0, let last = lastSeen[host], last + 6 < now else { continue }
            since[host] = now
            lastSeen[host] = nil
        }
    }

    private func isSuspect(_ host: Int, _ now: Int) -> Bool {
        guard let last = windows[now - 1].seen[host], last.values.contains(where: { $0.ok + $0.errors > 0 }) else { return false }
        var run = 0
        for index in stride(from: now - 1, through: since[host] ?? 0, by: -1) {
            let seen = windows[index].seen[host] ?? [:]
            if seen.values.contains(where: { $0.ok > 0 }) { break }
            run += seen.values.reduce(0) { $0 + $1.errors }
        }
        guard run >= threshold else { return false }
        // Each reporter's last words, where they are not older than six windows.
        var last6: [String: (ok: Int, errors: Int)] = [:]
        for index in max(since[host] ?? 0, now - 7)..<now {
            for (reporter, saw) in windows[index].seen[host] ?? [:] where saw.ok + saw.errors > 0 { last6[reporter] = saw }
        }
        let agreeing = last6.values.count { $0.ok == 0 && $0.errors > 0 }
        return 2 * agreeing > last6.count
    }
}

@Suite struct MeshModelTests {
    /// The second one forgets an endpoint that was idle for seven windows in the middle of a run.
    @Test(arguments: [UInt64.random(in: 0...UInt64.max), UInt64(7_216_324_001_745_602_552)])
    func verdictsAreThoseOfThePlainRules(_ seed: UInt64) {
        for round in 0..<30 {
            var random = RandomSource(seed: seed &+ UInt64(round))
            var world = MeshWorld(seed: 1)
            world.hosts = 6
            world.settings.maxEjectionPercent = [34, 50, 100][round % 3]
            var model = Model(threshold: 5, hosts: 6, percent: Int(world.settings.maxEjectionPercent), base: 30)
            let failing = random.below(100)
            for step in 0..<150 {
                var window = Model.Window()
                for reporter in ["a", "b", "c"] where random.below(4) > 0 {
                    var endpoints: [MeshReport.Endpoint] = []
                    for host in 0..<6 where random.below(3) > 0 {
                        // While it is out nobody asks it.
                        if world.ejected.contains(MeshWorld.address(host)) { continue }
                        let isBad = random.below(100) < failing
                        let (ok, errors) = isBad ? (0, Int(random.below(4))) : (Int(random.below(3)), Int(random.below(2)))
                        guard ok + errors > 0 else { continue }
                        window.seen[host, default: [:]][reporter] = (ok, errors)
                        endpoints.append(MeshWorld.seen(host, ok: UInt64(ok), errors: UInt64(errors)))
                    }
                    world.report(reporter, endpoints)
                }
                world.endWindow()
                model.end(window, hostNumbers: 0..<6)
                let expected = Set(model.until.keys.map { MeshWorld.address($0) })
                guard world.ejected == expected else {
                    Issue.record("seed \(seed &+ UInt64(round)), window \(step): \(world.ejected) instead of \(expected)")
                    return
                }
            }
        }
    }

    /// A reporter's opinions lie in the order in which it named endpoints first. Reports that name them in any order, some of them only,
    /// one twice, or after others have left and come, lead to the same decisions.
    @Test func theOrderInWhichEndpointsAreNamedChangesNothing() {
        let seed = UInt64.random(in: 0...UInt64.max)
        for round in 0..<20 {
            var random = RandomSource(seed: seed &+ UInt64(round))
            var detectors = MeshDetectors()
            detectors.enforcesErrorRate = true
            var ordered = MeshWorld(seed: 1, detectors: detectors)
            ordered.hosts = 40
            ordered.settings.enforcingFailurePercentage = 100
            ordered.settings.failurePercentageRequestVolume = 5
            var shuffled = ordered
            for window in 0..<60 {
                // Some are asked by nobody for a while, are forgotten, and come back into slots that others had meanwhile.
                let asked = (0..<40).filter { _ in Int(random.below(10)) > window / 10 % 3 * 4 }
                for reporter in ["a", "b", "c", "d"] where random.below(5) > 0 {
                    var seen = asked.filter { _ in random.below(4) > 0 }.map { host in
                        var seen = MeshWorld.seen(host, ok: UInt64(random.below(4)), errors: UInt64(random.below(host % 8 == 0 ? 20 : 2)))
                        if random.below(30) == 0 { seen.ejected = .consecutive5xx }
                        seen.isAbsent = random.below(50) == 0
                        return seen
                    }
                    let twice = seen.last.map { $0.ejected == nil ? [$0] : [] } ?? []
                    ordered.report(reporter, seen + twice)
                    for place in seen.indices.reversed() { seen.swapAt(place, Int(random.below(UInt32(place) + 1))) }
                    shuffled.report(reporter, twice + seen)
                }
                let (one, other) = (ordered.endWindow(), shuffled.endWindow())
                guard "\(one)" == "\(other)", ordered.judge.size == shuffled.judge.size else {
                    Issue.record("seed \(seed &+ UInt64(round)), window \(window): \(one) and \(other)")
                    return
                }
            }
            #expect(ordered.judge.counters.ejections.contains { $0 > 0 }, "seed \(seed &+ UInt64(round)): nobody was ejected")
        }
    }
}
