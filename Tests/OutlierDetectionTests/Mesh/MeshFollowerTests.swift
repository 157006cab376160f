import OutlierDetection
import Primitives
import Testing

/// What a proxy makes of words and silence.
@Suite struct MeshFollowerTests {
    /// Nobody asks an ejected endpoint, so a collector that starts empty could not find it again.
    @Test func whatTheOldCollectorHadEjectedIsHeldForTheNewOne() {
        var follower = MeshFollower(intervalNanoseconds: Self.second)
        let start = MonotonicInstant(nanoseconds: 100 * Self.second)
        func word(_ epoch: UInt64, _ seconds: UInt64?) -> MeshWord {
            var word = MeshWord(epoch: epoch, generation: 1)
            if let seconds {
                word.ejections = [
                    MeshWord.Ejection(cluster: "c", endpoint: endpoint, reason: .consecutive5xx, nanosecondsLeft: seconds * Self.second)
                ]
            }
            return word
        }
        func left(_ change: MeshFollower.Change) -> [UInt64] {
            guard case .ejections(let ejections) = change else { return [] }
            return ejections.map { $0.nanosecondsLeft / Self.second }
        }
        func window(_ name: String) -> UInt64 { name == "c" ? 10 * Self.second : 0 }
        _ = follower.take(word(1, 60), now: start, windowNanoseconds: window)
        // Two windows and two reports, and not beyond its end.
        #expect(left(follower.take(word(2, nil), now: start + Self.second, windowNanoseconds: window)) == [22])
        #expect(follower.held(now: start + 22 * Self.second).count == 1 && follower.held(now: start + 23 * Self.second).isEmpty)
        // Two collectors in turns do not make it longer.
        #expect(left(follower.take(word(1, nil), now: start + 5 * Self.second, windowNanoseconds: window)) == [18])
        #expect(left(follower.take(word(2, nil), now: start + 6 * Self.second, windowNanoseconds: window)) == [17])
        // Once the new one says so itself, it is that one's.
        #expect(left(follower.take(word(2, 120), now: start + 7 * Self.second, windowNanoseconds: window)) == [120])
        #expect(follower.held(now: start + 7 * Self.second).isEmpty)
        // Silence ends everything.
        _ = follower.take(word(3, nil), now: start + 8 * Self.second, windowNanoseconds: window)
        #expect(follower.held(now: start + 9 * Self.second).count == 1)
        _ = follower.check(now: start + 12 * Self.second)
        #expect(follower.held(now: start + 12 * Self.second).isEmpty)

        // Collectors that follow each other, with many ejections each, fill no memory.
        var many = MeshFollower(intervalNanoseconds: Self.second)
        for epoch in UInt64(1)...6 {
            var word = MeshWord(epoch: epoch, generation: 1)
            word.ejections = (0..<20_000).map { number in
                MeshWord.Ejection(
                    cluster: "c", endpoint: SocketEndpoint(ipv4: UInt32(epoch) << 24 | UInt32(number), port: 80), reason: .errorRate,
                    nanosecondsLeft: 60 * Self.second)
            }
            _ = many.take(word, now: start + epoch * 1_000, windowNanoseconds: window)
        }
        #expect(many.held(now: start + Self.second).count == MeshFollower.heldMax)

        // Short ones end when they would have, and a cluster that is not here holds nothing.
        var other = MeshFollower(intervalNanoseconds: Self.second)
        _ = other.take(word(1, 5), now: start, windowNanoseconds: window)
        #expect(left(other.take(word(2, nil), now: start + Self.second, windowNanoseconds: window)) == [4])
        var stranger = MeshFollower(intervalNanoseconds: Self.second)
        _ = stranger.take(word(1, 60), now: start)
        #expect(left(stranger.take(word(2, nil), now: start + Self.second)).isEmpty)
    }

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
