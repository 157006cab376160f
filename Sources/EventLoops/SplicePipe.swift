internal import CSystem
internal import Glibc

/// A kernel pipe through which bytes move from one socket to another without coming into this process (splice(2)). Empty between two
/// uses; one that is not is closed, since its bytes belong to nobody else.
@safe
public struct SplicePipe: ~Copyable {
    private let readEnd: Int32
    private let writeEnd: Int32
    /// Bytes it can hold, as the kernel granted them.
    public let capacity: Int
    /// Bytes in it.
    public private(set) var pending = 0

    /// Asks for `bytes` of room and takes what it gets (pipe(7): an unprivileged process has a limit over all its pipes); nil without
    /// descriptors.
    public init?(bytes: Int) {
        var ends = InlineArray<2, Int32>(repeating: -1)
        let made = unsafe withUnsafeMutableBytes(of: &ends) { unsafe skein_pipe($0.baseAddress?.assumingMemoryBound(to: Int32.self)) }
        guard made == 0 else { return nil }
        readEnd = ends[0]
        writeEnd = ends[1]
        let granted = skein_set_pipe_size(writeEnd, Int32(clamping: bytes))
        // The system's own size: 16 pages.
        capacity = granted > 0 ? Int(granted) : 64 * 1024
    }

    deinit {
        Socket.close(readEnd)
        Socket.close(writeEnd)
    }

    /// Takes what a socket has, up to `capacity`. Only when empty: `wouldBlock` then means that the socket has nothing.
    public mutating func fill(from socket: Int32) -> TransferResult {
        precondition(pending == 0, "a pipe is drained before it is filled")
        let count = skein_splice(socket, writeEnd, capacity, 0)
        if count > 0 {
            pending = count
            return .bytes(count)
        }
        return count == 0 ? .endOfStream : Socket.outcome()
    }

    /// Gives a socket what it will take.
    public mutating func drain(to socket: Int32) -> TransferResult {
        let count = skein_splice(readEnd, socket, pending, 0)
        guard count > 0 else { return count == 0 ? .wouldBlock : Socket.outcome() }
        pending = max(0, pending - count)
        return .bytes(count)
    }
}
