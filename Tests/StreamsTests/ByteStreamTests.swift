import EventLoops
import Glibc
import Primitives
import Streams
import Testing

@Suite struct ByteStreamTests {
    // MARK: Readiness

    /// Descriptors are edge-triggered: whoever takes "a short read" for "more", or the other way round, hangs or spins.
    @Test func aShortReadEmptiesASocket() throws {
        let (peer, end) = try socketPair()
        #expect(!end.isReadable)
        peer.write([1, 2, 3])
        end.await()
        #expect(end.isReadable)
        #expect(end.read(16).bytes == [1, 2, 3])
        #expect(!end.isReadable)
        // As many as fit says nothing: there may be more.
        peer.write([4, 5, 6, 7])
        end.await()
        #expect(end.read(4).bytes == [4, 5, 6, 7])
        #expect(end.isReadable)
        #expect(end.read(4).result.isWouldBlock)
        #expect(!end.isReadable && !end.isEnded)
    }

    /// The end came with the bytes, in one event: there will be no other to ask for it.
    @Test func anEndThatWasAnnouncedIsLookedFor() throws {
        let (peer, end) = try socketPair()
        peer.write([1, 2, 3])
        peer.stream.shutdownWrite()
        end.await([.readable, .readHangUp])
        #expect(end.read(16).bytes == [1, 2, 3])
        #expect(end.isReadable && end.sawHangUp && !end.isEnded)
        #expect(end.read(16).result.isEnd)
        #expect(end.isEnded && !end.isReadable)
    }

    /// The end may be here although no event has said so, where the peer is known to close.
    @Test func anExpectedEndIsLookedFor() throws {
        let (peer, end) = try socketPair()
        peer.write([1])
        peer.stream.shutdownWrite()
        end.await()
        end.stream.expectEnd()
        #expect(end.read(16).bytes == [1])
        #expect(end.isReadable)
        #expect(end.read(16).result.isEnd)
        end.stream.lookAgain()
        #expect(end.isReadable)
        end.stream.close()
        end.stream.lookAgain()
        #expect(!end.isReadable)
    }

    /// A layer holds bytes that no event of the socket will announce: a connection that trusted the socket would wait for ever.
    @Test func readinessIsNeverInferredWhereALayerBuffers() {
        let layer = MemoryLayer()
        let end = End(-1, layer: layer)
        layer.records = [[1, 2, 3], [4, 5]]
        end.stream.note(.readable)
        #expect(end.read(16).bytes == [1, 2, 3], "short, and yet there is more")
        #expect(end.isReadable)
        #expect(end.read(16).bytes == [4, 5])
        #expect(!end.isReadable)
        layer.records = [[6, 7, 8]]
        end.stream.note(.readable)
        #expect(end.read(2).bytes == [6, 7])
        #expect(end.read(2).bytes == [8])
        #expect(!end.isReadable)
        layer.isEnded = true
        end.stream.note(.readable)
        #expect(end.read(2).result.isEnd)
        #expect(end.isEnded)
    }

    // MARK: Writing

    /// Bytes that overtake others are another message. Random writes and flushes against the obvious model: a list.
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func writesKeepTheirOrderBehindWhatWaits(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let layer = MemoryLayer()
        let end = End(-1, layer: layer)
        var model: [UInt8] = []
        var blocked = 0
        for step in 0..<2000 {
            layer.takes = (0..<Int(random.below(4))).map { _ in random.below(3) == 0 ? nil : 1 + Int(random.below(40)) } + [nil]
            if random.below(3) == 0 {
                if end.stream.flush() == .blocked { blocked += 1 }
            } else {
                let bytes = (0..<Int(random.below(60))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                model += bytes
                end.write(bytes)
            }
            #expect(layer.written.count + end.stream.output.count == model.count, "seed \(seed) step \(step)")
        }
        layer.takes = []
        #expect(end.stream.flush() == .flushed)
        #expect(end.isFlushed)
        #expect(layer.written == model, "seed \(seed)")
        #expect(blocked > 10)
    }

    @Test func whatTheKernelDoesNotTakeWaits() throws {
        let (peer, end) = try socketPair()
        let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }
        #expect(end.write(bytes) == .blocked)
        #expect(!end.isFlushed && end.stream.waiting(spliceCounts: 1) > 0)
        #expect(end.write([42]) == .blocked)
        var got: [UInt8] = []
        eventually("everything has come") {
            _ = end.stream.flush()
            got += peer.read().bytes
            return got.count == bytes.count + 1
        }
        let isSame = got == bytes + [42]
        #expect(isSame)
        #expect(end.stream.flush() == .flushed)
    }

    // MARK: Ends

    @Test func ourHalfIsClosedOnce() throws {
        let layer = MemoryLayer()
        let layered = End(-1, layer: layer)
        layered.stream.shutdownWrite()
        layered.stream.shutdownWrite()
        #expect(layer.shutdowns == 1)
        let (peer, end) = try socketPair()
        end.write([1])
        end.stream.shutdownWrite()
        end.stream.shutdownWrite()
        peer.await()
        #expect(peer.read(1).bytes == [1])
        #expect(peer.read(1).result.isEnd)
        // The other half is as open as before.
        peer.write([2])
        end.await()
        #expect(end.read(16).bytes == [2])
    }

    /// A number closed twice is by then somebody else's connection.
    @Test func closesOnceAndIsOfNoUseAfterwards() {
        for resets in [false, true] {
            let layer = MemoryLayer()
            let end = End(-1, layer: layer)
            layer.takes = [nil]
            end.write([1, 2, 3])
            if resets { end.stream.reset() } else { end.stream.close() }
            end.stream.close()
            end.stream.reset()
            #expect(layer.closes == [resets])
            #expect(end.isClosed && end.stream.output.isEmpty)
            #expect(end.write([4]) == .failed)
            #expect(end.stream.flush() == .failed)
            end.stream.shutdownWrite()
            #expect(layer.shutdowns == 0 && layer.written.isEmpty)
        }
    }

    /// Closing on unread bytes makes the kernel send a reset, which destroys an answer that is still on its way.
    @Test func whatIsAbandonedIsReadFirstSoThatThePeerSeesItsEnd() throws {
        let (peer, end) = try tcpPair()
        peer.write([UInt8](repeating: 7, count: 20_000))
        end.await()
        end.write([1, 2, 3])
        end.abandon()
        #expect(end.isClosed)
        peer.await()
        #expect(peer.read(3).bytes == [1, 2, 3])
        eventually("the end, and no reset") { peer.read(3).result.isEnd }
    }

    /// What the test before is worth.
    @Test func whatIsClosedUnreadIsReset() throws {
        let (peer, end) = try tcpPair()
        peer.write([UInt8](repeating: 7, count: 20_000))
        end.await()
        end.stream.close()
        eventually("a reset") { peer.read(3).result.failure == ECONNRESET }
    }

    /// A peer that never stops sending does not keep us.
    @Test func abandoningIsBounded() {
        let layer = MemoryLayer()
        layer.records = [[UInt8]](repeating: [1], count: 1000)
        End(-1, layer: layer).abandon()
        #expect(layer.records.count > 900 && layer.closes == [false])
    }

    @Test func aResetIsAFailure() throws {
        let (peer, end) = try tcpPair()
        peer.stream.reset()
        end.await([.readable, .error, .hangUp])
        #expect(end.sawHangUp)
        #expect(end.read().result.failure == ECONNRESET)
        #expect(!end.isReadable)
        #expect(end.write([1]) == .failed)
    }
}
