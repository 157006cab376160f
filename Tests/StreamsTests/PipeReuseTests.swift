import EventLoops
import Glibc
import Primitives
@testable import Streams
import Testing

@Suite struct PipeReuseTests {
    /// Two ends of a connection: for the stream, and for its peer.
    private func pair() throws -> (Int32, Int32) {
        var ends: [Int32] = [-1, -1]
        let made = unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | UInt32(SOCK_NONBLOCK.rawValue)), 0, &ends)
        try #require(made == 0)
        return (ends[0], ends[1])
    }

    /// Fills the read buffer as often as makes a stream busy.
    private func makeBusy(_ stream: inout ByteStream, from peer: Int32) {
        var room = [UInt8](repeating: 0, count: 16)
        stream.note([.readable])
        for _ in 0..<ByteStream.fullReadsMax {
            unsafe room.withUnsafeMutableBytes { buffer in
                unsafe _ = write(peer, buffer.baseAddress, buffer.count)
                unsafe _ = stream.read(into: buffer)
            }
        }
    }

    /// A pipe with bytes of a tunnel that ended belongs to nobody: given to the next tunnel, one client would receive another's data.
    @Test func aPipeThatHoldsBytesIsNotUsedAgain() throws {
        var splicing = Splicing(pipesMax: 1, pipeBytes: 1 << 16, bytesMin: 1, roundsMax: 4)
        let (near, client) = try pair()
        let (far, endpoint) = try pair()
        var source = ByteStream(descriptor: near)
        var target = ByteStream(descriptor: far)
        makeBusy(&source, from: client)
        // The target takes nothing more, so that what comes stays in the pipe.
        var block = [UInt8](repeating: 1, count: 1 << 16)
        while unsafe write(target.descriptor, &block, block.count) > 0 {}
        unsafe #expect(write(client, &block, 1000) == 1000)
        source.note([.readable])
        var moved: UInt64 = 0
        #expect(splicing.move(from: &source, to: &target, moved: &moved) == .blocked)
        #expect(moved == 1000)
        #expect(target.isSpliced == true)
        splicing.release(&target)
        #expect(target.isSpliced == false)
        target.close()
        close(endpoint)

        let (other, server) = try pair()
        var next = ByteStream(descriptor: other)
        unsafe #expect(write(client, &block, 10) == 10)
        source.note([.readable])
        moved = 0
        #expect(splicing.move(from: &source, to: &next, moved: &moved) == .drained)
        #expect(moved == 10)
        #expect(unsafe read(server, &block, block.count) == 10, "its own bytes and no others")
        source.close()
        next.close()
        close(client)
        close(server)
    }
}
