import EventLoops
import Glibc
import Primitives
import Streams
import Testing

@Suite struct SplicingTests {
    private func makeSplicing(pipesMax: Int = 4, bytesMin: Int = 1, roundsMax: Int = 16) -> Splicing {
        Splicing(pipesMax: pipesMax, pipeBytes: 65536, bytesMin: bytesMin, roundsMax: roundsMax)
    }

    /// Has `end` read two buffers to the brim, as a stream does that has much to move, and something more to read.
    private func makeBusy(_ end: End, from peer: End, rest: [UInt8]) {
        peer.write([0, 0, 0, 0] + rest)
        end.await()
        #expect(end.read(2).bytes.count == 2 && end.read(2).bytes.count == 2)
        #expect(end.isBusy)
    }

    /// A tunnel's bytes in another order, twice or not at all are a broken TLS session. By pipe and by copy, with stalls, against a list.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func movesBytesInTheirOrder(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let (writer, source) = try tcpPair()
        let (target, reader) = try tcpPair()
        target.narrow()
        reader.narrow()
        var splicing = makeSplicing(bytesMin: 2000)
        let total = 2_000_000
        let bytes = (0..<total).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        var sent = 0
        var got: [UInt8] = []
        var moved: UInt64 = 0
        var copied = 0
        var blocked = 0
        eventually("everything went through, seed \(seed)") {
            switch random.below(3) {
            case 0:
                if writer.isFlushed, sent < total {
                    let count = min(total - sent, 1 + Int(random.below(100_000)))
                    writer.write(Array(bytes[sent..<sent + count]))
                    sent += count
                } else {
                    _ = writer.stream.flush()
                }
            case 1:
                source.stream.lookAgain()
                if splicing.flush(&target.stream) != .flushed { break }
                switch splicing.move(from: &source.stream, to: &target.stream, moved: &moved) {
                case .declined:
                    let piece = source.read(1500).bytes
                    copied += piece.count
                    target.write(piece)
                case .blocked: blocked += 1
                case .drained, .unfinished: break
                case .sourceEnded, .targetFailed: Issue.record("neither has ended, seed \(seed)")
                }
            default: got += reader.read(1 + Int(random.below(100_000))).bytes
            }
            return got.count == total
        }
        let isSame = got == bytes  // A difference of megabytes takes `#expect` for ever to describe.
        #expect(isSame, "seed \(seed)")
        #expect(Int(moved) + copied == total, "seed \(seed)")
        #expect(moved > 0 && copied > 0 && blocked > 0, "seed \(seed): moved \(moved), copied \(copied), blocked \(blocked)")
    }

    /// Bytes that a layer has to see never go past it.
    @Test func declinesWhereALayerStandsBetween() throws {
        var splicing = makeSplicing()
        var moved: UInt64 = 0
        let layer = MemoryLayer()
        layer.records = [[1, 2], [3, 4], [5, 6]]
        let layered = End(-1, layer: layer)
        layered.stream.note(.readable)
        #expect(layered.read(2).bytes.count == 2 && layered.read(2).bytes.count == 2)
        #expect(layered.isBusy)
        let (target, reader) = try socketPair()
        #expect(splicing.move(from: &layered.stream, to: &target.stream, moved: &moved) == .declined)
        let (writer, source) = try socketPair()
        makeBusy(source, from: writer, rest: [1, 2, 3])
        let covered = End(-1, layer: MemoryLayer())
        #expect(splicing.move(from: &source.stream, to: &covered.stream, moved: &moved) == .declined)
        #expect(moved == 0 && source.read().bytes == [1, 2, 3] && reader.read().result.isWouldBlock)
    }

    /// A pipe for a few bytes costs more than it saves; and what waits to be written comes first.
    @Test func declinesWhatIsNotWorthAPipe() throws {
        var splicing = makeSplicing()
        var moved: UInt64 = 0
        let (writer, source) = try socketPair()
        let (target, reader) = try socketPair()
        writer.write([1])
        source.await()
        #expect(splicing.move(from: &source.stream, to: &target.stream, moved: &moved) == .declined)
        makeBusy(source, from: writer, rest: [9])
        target.stream.output.append(byte: 1)
        #expect(splicing.move(from: &source.stream, to: &target.stream, moved: &moved) == .declined)
        #expect(splicing.flush(&target.stream) == .flushed)
        target.stream.close()
        #expect(splicing.move(from: &source.stream, to: &target.stream, moved: &moved) == .declined)
        #expect(moved == 0 && !reader.isClosed)
    }

    @Test func tellsTheSourcesEndFromNothingYet() throws {
        var splicing = makeSplicing()
        var moved: UInt64 = 0
        let (writer, source) = try tcpPair()
        let (target, reader) = try tcpPair()
        makeBusy(source, from: writer, rest: [1, 2, 3])
        #expect(splicing.move(from: &source.stream, to: &target.stream, moved: &moved) == .drained)
        #expect(!source.isReadable && !source.isEnded && !target.isSpliced)
        reader.await()
        #expect(reader.read().bytes == [1, 2, 3])
        #expect(source.isBusy)
        writer.write([4])
        writer.stream.shutdownWrite()
        source.await([.readable, .readHangUp])
        var outcome = Splicing.Outcome.drained
        eventually("the end") {
            outcome = splicing.move(from: &source.stream, to: &target.stream, moved: &moved)
            return outcome == .sourceEnded
        }
        #expect(source.isEnded && moved == 4 && !target.isSpliced)
        reader.await()
        #expect(reader.read().bytes == [4])
    }

    /// What stands in the pipe comes before what is written behind it, and nobody else gets the pipe meanwhile.
    @Test func aBlockedTargetKeepsItsPipeAndItsOrder() throws {
        var splicing = makeSplicing(pipesMax: 1)
        var moved: UInt64 = 0
        let (writer, source) = try tcpPair()
        let (target, reader) = try tcpPair()
        target.narrow()
        reader.narrow()
        makeBusy(source, from: writer, rest: [])
        var sent = 0
        var outcome = Splicing.Outcome.drained
        eventually("the target takes no more") {
            if writer.isFlushed {
                writer.write((sent..<sent + 10_000).map { UInt8(truncatingIfNeeded: $0 / 251 &+ $0) })
                sent += 10_000
            }
            _ = writer.stream.flush()
            outcome = splicing.move(from: &source.stream, to: &target.stream, moved: &moved)
            return outcome == .blocked
        }
        #expect(target.isSpliced && !target.isFlushed)
        #expect(target.stream.waiting(spliceCounts: 77) == 77)
        #expect(target.stream.flush() == .blocked, "the pipe is to be emptied first")
        target.write([1, 2, 3])
        #expect(splicing.move(from: &source.stream, to: &target.stream, moved: &moved) == .declined)
        let (otherWriter, other) = try socketPair()
        let (otherTarget, otherReader) = try socketPair()
        makeBusy(other, from: otherWriter, rest: [5])
        #expect(splicing.move(from: &other.stream, to: &otherTarget.stream, moved: &moved) == .declined, "there is one pipe")
        var got: [UInt8] = []
        eventually("all of it") {
            got += reader.read().bytes
            return splicing.flush(&target.stream) == .flushed && got.count == Int(moved) + 3
        }
        let expected = (0..<Int(moved)).map { UInt8(truncatingIfNeeded: $0 / 251 &+ $0) } + [1, 2, 3]
        let isSame = got == expected
        #expect(isSame)
        #expect(!target.isSpliced)
        #expect(splicing.move(from: &other.stream, to: &otherTarget.stream, moved: &moved) == .drained, "the pipe is free again")
        #expect(otherReader.read().bytes == [5])
    }

    /// A target that goes with bytes in its pipe: the pipe goes as well, since they are nobody else's.
    @Test func aStreamThatIsClosedGivesItsPipeBack() throws {
        var splicing = makeSplicing(pipesMax: 1)
        var moved: UInt64 = 0
        for _ in 0..<3 {
            let (writer, source) = try tcpPair()
            let (target, reader) = try tcpPair()
            target.narrow()
            reader.narrow()
            makeBusy(source, from: writer, rest: [])
            eventually("the target takes no more") {
                if writer.isFlushed { writer.write([UInt8](repeating: 1, count: 10_000)) }
                _ = writer.stream.flush()
                return splicing.move(from: &source.stream, to: &target.stream, moved: &moved) == .blocked
            }
            splicing.release(&target.stream)
            target.stream.close()
            #expect(!target.isSpliced && !reader.isClosed && !writer.isClosed)
        }
    }
}
