import Primitives
import Testing

@Suite struct TimerWheelTests {
    static let tick: UInt64 = 1 << TimerWheel.tickShift

    /// Never early, at most one tick late, none lost, none twice: against a plain dictionary of deadlines.
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func behavesAsASortedList(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var now = MonotonicInstant(nanoseconds: random.next() >> 8)
        var wheel = TimerWheel(now: now)
        var armed: [UInt64: (id: TimerWheel.TimerID, deadline: UInt64, since: UInt64)] = [:]
        var old: [TimerWheel.TimerID] = []
        var token: UInt64 = 0
        var fired: [UInt64] = []
        for step in 0..<6_000 {
            switch random.below(8) {
            case 0...2:
                token += 1
                // From the past to beyond the wheel's range.
                let exponent = UInt64(random.below(50))
                let ahead = random.next() & ((1 << exponent) - 1)
                let deadline = random.below(20) == 0 ? now.nanoseconds - ahead % 1000 : now.nanoseconds + ahead
                armed[token] = (wheel.arm(token, at: MonotonicInstant(nanoseconds: deadline)), deadline, now.nanoseconds)
            case 3:
                guard let (token, timer) = armed.min(by: { $0.key < $1.key }) else { continue }
                guard wheel.cancel(timer.id), !wheel.cancel(timer.id) else { return fail(seed, step, "cancel") }
                armed[token] = nil
                old.append(timer.id)
            case 4:
                for id in old.suffix(10) where wheel.cancel(id) { return fail(seed, step, "a stale timer was cancelled") }
            default:
                let exponent = UInt64(random.below(random.below(10) == 0 ? 44 : 28))
                let jump = random.next() & ((1 << exponent) - 1)
                if let wait = wheel.nanosecondsUntilNext(now: now), let earliest = armed.values.map(\.deadline).min() {
                    // The loop sleeps this long: it may wake too soon, never more than a tick late.
                    guard now.nanoseconds + wait <= max(earliest, now.nanoseconds) + 2 * Self.tick else {
                        return fail(seed, step, "sleeps past the earliest deadline")
                    }
                }
                now = now + jump
                fired = []
                wheel.advance(to: now, fired: &fired)
                for token in fired {
                    guard let timer = armed.removeValue(forKey: token) else { return fail(seed, step, "fired twice or after cancel") }
                    guard timer.deadline < now.nanoseconds || timer.deadline <= timer.since else { return fail(seed, step, "fired early") }
                    old.append(timer.id)
                }
                for timer in armed.values where max(timer.deadline, timer.since) + 2 * Self.tick <= now.nanoseconds {
                    return fail(seed, step, "a timer is late by \(now.nanoseconds - timer.deadline) ns")
                }
            }
            guard wheel.count == armed.count, (wheel.nanosecondsUntilNext(now: now) == nil) == armed.isEmpty else {
                return fail(seed, step, "count")
            }
        }
    }

    /// Sleeping exactly as long as the wheel says must reach every timer, however far, without ever standing still.
    @Test func sleepingAsToldReachesEveryTimer() {
        let delays: [UInt64] = [
            0, 1, Self.tick, 63 * Self.tick, 64 * Self.tick, 65 * Self.tick, 4095 * Self.tick, 4096 * Self.tick, 300_000 * Self.tick,
        ]
        for delay in delays {
            var now = MonotonicInstant(nanoseconds: 12_345_678_901)
            var wheel = TimerWheel(now: now)
            let deadline = now + delay
            _ = wheel.arm(9, at: deadline)
            var fired: [UInt64] = []
            var turns = 0
            while fired.isEmpty, turns < 10_000, let wait = wheel.nanosecondsUntilNext(now: now) {
                now = now + wait
                wheel.advance(to: now, fired: &fired)
                turns += 1
            }
            #expect(fired == [9], "delay \(delay)")
            #expect(now > deadline && now.nanoseconds - deadline.nanoseconds <= 2 * Self.tick, "delay \(delay)")
        }
    }

    @Test func firesInTickOrderAndIgnoresTheDistantFuture() {
        var wheel = TimerWheel(now: MonotonicInstant(nanoseconds: 0))
        for token in [5, 3, 9, 1] as [UInt64] { _ = wheel.arm(token, at: MonotonicInstant(nanoseconds: token * 10 * Self.tick)) }
        let never = wheel.arm(0, at: .distantFuture)
        var fired: [UInt64] = []
        wheel.advance(to: MonotonicInstant(nanoseconds: 1 << 44), fired: &fired)
        #expect(fired == [1, 3, 5, 9])
        #expect(wheel.count == 1 && wheel.cancel(never) && wheel.nanosecondsUntilNext(now: MonotonicInstant(nanoseconds: 1 << 44)) == nil)
    }
}

private func fail(_ seed: UInt64, _ step: Int, _ what: String) {
    Issue.record("seed \(seed), step \(step): \(what)")
}
