import OutlierDetection
import Primitives
import Testing

/// What a proxy makes of words and silence.
@Suite struct MeshFollowerTests {
    private static let second: UInt64 = 1_000_000_000
    private let endpoint = SocketEndpoint(address: "10.0.0.1", port: 80)!

    private func word(_ epoch: UInt64, _ generation: UInt64) -> MeshWord {
        var word = MeshWord(epoch: epoch, generation: generation)
        word.ejections = [MeshWord.Ejection(cluster: "c", endpoint: endpoint, reason: .consecutive5xx, nanosecondsLeft: 5)]
        return word
    }

    private func at(_ seconds: UInt64) -> MonotonicInstant { MonotonicInstant(nanoseconds: (100 + seconds) * Self.second) }

    @Test func threeIntervalsWithoutAWordLeaveLocalDetectionAlone() {
        var follower = MeshFollower(intervalNanoseconds: 10 * Self.second)
        #expect(follower.isAlone && follower.check(now: at(0)) == .none)
        #expect(follower.take(word(1, 5), now: at(0)) == .ejections(word(1, 5).ejections))
        #expect(follower.check(now: at(30)) == .none && !follower.isAlone)
        #expect(follower.check(now: at(31)) == .ejections([]) && follower.isAlone)
        #expect(follower.check(now: at(60)) == .none, "once")
        #expect(follower.generation == 0, "the next word is to be whole")
        #expect(follower.timesAlone == 1)
    }

    @Test func anUnchangedWordKeepsWhatThereIs() {
        var follower = MeshFollower(intervalNanoseconds: 10 * Self.second)
        _ = follower.take(word(1, 5), now: at(0))
        var same = MeshWord(epoch: 1, generation: 5)
        same.isUnchanged = true
        for step in 1...10 {
            #expect(follower.take(same, now: at(UInt64(step) * 25)) == .none)
            #expect(follower.check(now: at(UInt64(step) * 25 + 24)) == .none)
        }
    }

    @Test func aCollectorThatBeganAnewIsBelieved() {
        var follower = MeshFollower(intervalNanoseconds: Self.second)
        _ = follower.take(word(1, 500), now: at(0))
        #expect(follower.take(MeshWord(epoch: 2, generation: 1), now: at(1)) == .ejections([]))
        #expect(follower.returns == 0)
    }

    @Test func anOvertakenWordChangesNothing() {
        var follower = MeshFollower(intervalNanoseconds: Self.second)
        _ = follower.take(word(1, 6), now: at(0))
        #expect(follower.take(MeshWord(epoch: 1, generation: 5), now: at(1)) == .none)
    }

    @Test func twoCollectorsThatTakeTurnsAreNoticed() {
        var follower = MeshFollower(intervalNanoseconds: Self.second)
        for step in 0..<6 { _ = follower.take(word(UInt64(1 + step % 2), 5), now: at(UInt64(step))) }
        #expect(follower.returns == 4)
    }
}
