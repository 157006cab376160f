internal import EventLoops
internal import Primitives

/// Pipes through which streams that move much move it inside the kernel: from the one socket into a pipe, from the pipe into the other,
/// without a copy in this process. A stream holds a pipe only while bytes go through it. Owned by one thread.
public struct Splicing: ~Copyable {
    /// What a turn of splicing came to.
    public enum Outcome: Sendable, Equatable {
        /// Copy instead.
        case declined
        /// The source has nothing further now.
        case drained
        /// The target takes no more; `flush` goes on with it.
        case blocked
        /// The turn's budget is spent.
        case unfinished
        case sourceEnded
        case targetFailed
    }

    private var pipes: Slab<SplicePipe>
    private let pipesMax: Int
    private let pipeBytes: Int
    private let bytesMin: Int
    private let roundsMax: Int

    /// At most `pipesMax` pipes, each asked to hold `pipeBytes`; a source that moves less than `bytesMin` at once is copied again.
    /// `roundsMax` bounds one turn.
    public init(pipesMax: Int, pipeBytes: Int, bytesMin: Int, roundsMax: Int) {
        pipes = Slab(countMax: pipesMax)
        self.pipesMax = pipesMax
        self.pipeBytes = pipeBytes
        self.bytesMin = bytesMin
        self.roundsMax = roundsMax
    }

    /// Moves what `source` has to `target`; `moved` grows by as many bytes.
    public mutating func move(from source: inout ByteStream, to target: inout ByteStream, moved: inout UInt64) -> Outcome {
        guard source.isBusy, source.canSplice, target.canSplice, target.isFlushed, !target.isClosed, let pipe = take() else {
            return .declined
        }
        target.pipe = pipe
        for _ in 0..<roundsMax {
            switch pipes[pipe].fill(from: source.descriptor) {
            case .bytes(let count):
                moved &+= UInt64(count)
                if count < bytesMin { source.calm() }
                switch drain(pipe, to: target.descriptor) {
                case .wouldBlock: return .blocked
                case .failed, .endOfStream: return .targetFailed
                case .bytes: break
                }
                if !source.isBusy { return finish(&target, .declined) }
            case .wouldBlock:
                source.drained()
                return finish(&target, source.sawHangUp ? .declined : .drained)
            case .endOfStream:
                source.endedInKernel()
                return finish(&target, .sourceEnded)
            case .failed:
                // A socket that cannot be spliced tells a read what is wrong with it.
                source.calm()
                return finish(&target, .declined)
            }
        }
        return finish(&target, .unfinished)
    }

    /// Writes what waits for `target`, that in its pipe first.
    @inline(__always)
    public mutating func flush(_ target: inout ByteStream) -> ByteStream.Progress {
        guard target.isSpliced else { return target.flush() }
        return flushPipe(&target)
    }

    private mutating func flushPipe(_ target: inout ByteStream) -> ByteStream.Progress {
        switch drain(target.pipe, to: target.descriptor) {
        case .bytes: giveBack(&target.pipe)
        case .wouldBlock: return .blocked
        case .endOfStream, .failed: return .failed
        }
        return target.flush()
    }

    /// The stream is about to be closed: its pipe goes back.
    public mutating func release(_ stream: inout ByteStream) {
        if stream.isSpliced { giveBack(&stream.pipe) }
    }

    private mutating func finish(_ target: inout ByteStream, _ outcome: Outcome) -> Outcome {
        giveBack(&target.pipe)
        return outcome
    }

    /// Empties a pipe; `bytes` = it is empty.
    private mutating func drain(_ pipe: SlotID, to descriptor: Int32) -> TransferResult {
        while pipes[pipe].pending > 0 {
            switch pipes[pipe].drain(to: descriptor) {
            case .bytes: continue
            case let other: return other
            }
        }
        return .bytes(0)
    }

    private mutating func take() -> SlotID? {
        if let free = pipes.reuse() { return free }
        // Making a pipe takes four system calls; where all are in use, none is made to be thrown away.
        guard pipes.count < pipesMax, let pipe = SplicePipe(bytes: pipeBytes) else { return nil }
        return pipes.insert(pipe)
    }

    /// Keeps an empty pipe for the next stream; one that still holds bytes is closed with them.
    private mutating func giveBack(_ id: inout SlotID) {
        if pipes[id].pending == 0 { pipes.park(id) } else { pipes.remove(id) }
        id = .none
    }
}
