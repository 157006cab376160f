@testable import CertificateExchange
import Testing

/// When hosts renew, with a clock of the test's own.
@Suite struct RenewalScheduleTests {
    static let day: Int64 = 86_400

    @Test func halfOfTheTimeGiveOrTakeATenth() {
        for draw in [0, 0.25, 0.5, 0.999] {
            let schedule = RenewalSchedule(notBefore: -120, notAfter: Self.day, draw: draw)
            #expect(schedule.dueAt >= 0.45 * 86_400 && schedule.dueAt <= 0.55 * 86_400)
        }
        // The shortest that is issued: what it is dated back does not make it due at once.
        #expect(RenewalSchedule(notBefore: -120, notAfter: 60, draw: 0).dueAt >= 27)
    }

    @Test func aFleetDoesNotMeetAtItsAuthority() {
        let due = (0..<100).map { RenewalSchedule(notBefore: -120, notAfter: Self.day, draw: Double($0) / 100).dueAt }
        #expect((due.max() ?? 0) - (due.min() ?? 0) > 8000)
    }

    /// A day without an authority, of a certificate of a day: it is tried until the end and beyond, seldom, and never later than the end.
    @Test func failuresAreTriedAgainEverMoreSeldom() {
        var schedule = RenewalSchedule(notBefore: -120, notAfter: Self.day, draw: 0.5)
        var gaps: [Double] = []
        var triedLate = false
        while schedule.dueAt < 1.1 * 86_400 {
            let now = schedule.dueAt
            if now >= 86_398, now < 86_400 { triedLate = true }
            schedule.failed(now: now, draw: Double(gaps.count % 10) / 10)
            #expect(schedule.dueAt > now)
            gaps.append(schedule.dueAt - now)
        }
        #expect(gaps[0] < 1.3 && gaps.allSatisfy { $0 <= 150 * 1.2 })
        #expect(gaps[20] >= 150 * 0.8 && triedLate)
    }

    @Test func newRootsHastenIt() {
        var schedule = RenewalSchedule(notBefore: -120, notAfter: Self.day, draw: 0.5)
        schedule.hasten(now: 100, within: 60, draw: 0.5)
        #expect(schedule.dueAt == 130)
        schedule.hasten(now: 100, within: 6000, draw: 0.9)
        #expect(schedule.dueAt == 130)
    }
}
