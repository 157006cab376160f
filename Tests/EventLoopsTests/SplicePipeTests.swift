import EventLoops
import Glibc
import Primitives
import Testing

@Suite struct SplicePipeTests {
    private func makePipe(_ bytes: Int = 1 << 16) throws -> SplicePipe {
        guard let pipe = SplicePipe(bytes: bytes) else { throw TCPPair.Failure.noConnection }
        return pipe
    }

    /// A tunnel's bytes in another order, twice or not at all are a broken TLS session. Random writers, readers and stalls against the
    /// obvious model: a list.
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func keepsBytesInOrderWhateverThePeersDo(_ seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let source = try TCPPair()
        let target = try TCPPair()
        target.narrow()
        var pipe = try makePipe()
        // Bytes that are all different from those a pipe's length before.
        let total = 1_000_000
        let bytes = (0..<total).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        var sent = 0
        var got: [UInt8] = []
        var stalls = 0
        var held = 0
        eventually("everything went through, seed \(seed)") {
            switch random.below(3) {
            case 0:
                let count = min(total - sent, 1 + Int(random.below(60_000)))
                if count > 0, let written = send(source.client, Array(bytes[sent..<sent + count])).count { sent += written }
            case 1:
                if pipe.pending == 0, let count = pipe.fill(from: source.server).count {
                    #expect(count == pipe.pending)
                    #expect(count <= pipe.capacity)
                    held += count
                }
                while pipe.pending > 0 {
                    let before = pipe.pending
                    guard let count = pipe.drain(to: target.client).count else {
                        stalls += 1
                        #expect(pipe.pending == before, "what was not taken stays")
                        break
                    }
                    #expect(pipe.pending == before - count)
                }
            default:
                got += receive(target.server, 1 + Int(random.below(50_000))).1
            }
            return got.count == total
        }
        let isSame = got == bytes  // A difference of a million bytes takes `#expect` for ever to describe.
        #expect(isSame, "seed \(seed)")
        #expect(held == total)
        #expect(stalls > 0, "the far side never stalled, which tests nothing")
    }

    /// A source without bytes is not an ended one, nor the other way round: the one would cut a tunnel, the other keep it for ever.
    @Test func tellsNothingYetFromTheEnd() throws {
        let source = try TCPPair()
        var pipe = try makePipe()
        #expect(pipe.fill(from: source.server).isWouldBlock)
        #expect(send(source.client, [1, 2, 3]).count == 3)
        Socket.shutdownWrite(source.client)
        #expect(isReady(source.server, POLLIN))
        #expect(pipe.fill(from: source.server).count == 3)
        let target = try TCPPair()
        #expect(pipe.drain(to: target.client).count == 3)
        #expect(pipe.pending == 0)
        eventually("the end comes after the bytes") { pipe.fill(from: source.server).isEnd }
        #expect(isReady(target.server, POLLIN))
        #expect(receive(target.server).1 == [1, 2, 3])
    }

    /// `capacity` is asked for at each fill: one that promises more than the kernel granted is harmless, one below wastes calls.
    @Test func takesTheRoomThatTheKernelGrants() throws {
        #expect(try makePipe(1 << 18).capacity == 1 << 18)
        // Rounded up to a page.
        #expect(try makePipe(1).capacity >= 1)
        // Beyond /proc/sys/fs/pipe-max-size only the privileged get it; the others keep the system's size.
        #expect(try makePipe(1 << 30).capacity >= 64 * 1024)
    }

    /// Failures are the peers': values, with what waits in the pipe still counted, so that its owner knows to close it.
    @Test func aBrokenPeerIsAValueAndThePipeStillKnowsWhatItHolds() throws {
        // The kernel's splice has no MSG_NOSIGNAL; the process blocks SIGPIPE for all its threads (`SignalInbox`), a test for its own.
        let thread = try WorkerThread(name: "no-sigpipe") {
            var set = sigset_t()
            unsafe sigemptyset(&set)
            unsafe sigaddset(&set, SIGPIPE)
            unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
            guard let source = try? TCPPair(), let target = try? TCPPair(), var pipe = SplicePipe(bytes: 65536) else {
                Issue.record("no sockets")
                return
            }
            #expect(send(source.client, [UInt8](repeating: 7, count: 1000)).count == 1000)
            #expect(isReady(source.server, POLLIN))
            #expect(pipe.fill(from: source.server).count == 1000)
            target.reset(target.server)
            #expect(isReady(target.client, POLLIN))
            #expect(pipe.drain(to: target.client).failure != nil)
            #expect(pipe.pending == 1000)
            #expect(pipe.drain(to: -1).failure == EBADF)
        }
        thread.join()
        var pipe = try makePipe()
        #expect(pipe.fill(from: -1).failure == EBADF)
        #expect(pipe.pending == 0)
    }

    /// Filling a pipe that holds another tunnel's bytes would hand one client's data to another: that must not go on.
    @Test func aPipeWithPendingBytesCannotBeFilledAgain() async {
        await #expect(processExitsWith: .failure) {
            let source = try TCPPair()
            guard var pipe = SplicePipe(bytes: 65536) else { exit(0) }
            _ = send(source.client, [1])
            guard isReady(source.server, POLLIN), pipe.fill(from: source.server).count == 1 else { exit(0) }
            _ = pipe.fill(from: source.server)
            exit(0)
        }
    }

    /// Hundreds of pipes come and go with tunnels; both ends must go each time.
    @Test func closesBothEnds() throws {
        let before = ProcessResources.current().openDescriptors
        for _ in 0..<400 { #expect(try makePipe().pending == 0) }
        // Other suites open and close descriptors meanwhile, though not hundreds.
        #expect(ProcessResources.current().openDescriptors < before + 400)
    }
}
