import EventLoops
import Glibc
import Testing

@Suite struct PollerTests {
    /// All events that are there now, merged by token.
    private func events(_ poller: borrowing Poller, milliseconds: Int32 = 0) -> [UInt64: ReadyEvents] {
        var found: [UInt64: ReadyEvents] = [:]
        for index in 0..<poller.wait(timeoutMilliseconds: milliseconds) {
            let (token, events) = poller.event(index)
            found[token, default: []].formUnion(events)
        }
        return found
    }

    /// Tokens carry slot and generation in all their bits; one that came back truncated would serve another connection.
    @Test(arguments: [0, 1, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0x0123_4567_89AB_CDEF] as [UInt64])
    func reportsTheTokenUnchanged(_ token: UInt64) throws {
        let pair = try TCPPair()
        let poller = try Poller()
        try poller.add(stream: pair.server, token: token)
        #expect(events(poller, milliseconds: 5_000)[token]?.contains(.writable) == true)
    }

    /// The loops rely on one report per arrival: a stream reported again and again while nobody reads would turn a paused connection into a
    /// busy loop, one not reported for new bytes would hang.
    @Test func reportsStreamsOnceForEachArrival() throws {
        let pair = try TCPPair()
        let poller = try Poller()
        try poller.add(stream: pair.server, token: 7)
        #expect(events(poller, milliseconds: 5_000)[7] == [.writable])
        #expect(events(poller).isEmpty)
        #expect(send(pair.client, [1, 2, 3]).count == 3)
        #expect(events(poller, milliseconds: 5_000)[7]?.contains(.readable) == true)
        #expect(events(poller).isEmpty, "nothing new has come")
        #expect(send(pair.client, [4]).count == 1)
        #expect(events(poller, milliseconds: 5_000)[7]?.contains(.readable) == true, "although the first bytes were not read")
        #expect(receive(pair.server).1 == [1, 2, 3, 4])
    }

    /// A listener with a connection that was not taken (budget spent) must come again, or the client waits for the next one to arrive.
    @Test func reportsListenersAsLongAsSomethingWaits() throws {
        let listener = try Socket.listen(on: loopback, reusePort: false)
        defer { Socket.close(listener) }
        let poller = try Poller()
        try poller.add(readable: listener, token: 9)
        let client = try Socket.connect(to: Socket.localEndpoint(listener))
        defer { Socket.close(client) }
        #expect(events(poller, milliseconds: 5_000)[9] == [.readable])
        #expect(events(poller)[9] == [.readable])
        guard case .connection(let fd, _) = Socket.accept(listener) else {
            Issue.record("no connection")
            return
        }
        Socket.close(fd)
        #expect(events(poller).isEmpty)
    }

    /// A half-close is how a client says that its request is complete; a reset is how a dead one is noticed.
    @Test func tellsHalfCloseFromReset() throws {
        let polite = try TCPPair()
        let rude = try TCPPair()
        let poller = try Poller()
        try poller.add(stream: polite.server, token: 1)
        try poller.add(stream: rude.server, token: 2)
        _ = events(poller, milliseconds: 5_000)
        Socket.shutdownWrite(polite.client)
        rude.reset(rude.client)
        var seen: [UInt64: ReadyEvents] = [:]
        eventually("both ends are reported") {
            seen.merge(events(poller, milliseconds: 10)) { $0.union($1) }
            return seen[1] != nil && seen[2] != nil
        }
        #expect(seen[1]?.contains(.readHangUp) == true)
        #expect(seen[1]?.isDisjoint(with: [.error, .hangUp]) == true)
        #expect(seen[2]?.isDisjoint(with: [.error, .hangUp]) == false)
    }

    /// A listener is removed while descriptors are out; were it still reported, the loop would spin on what it cannot accept.
    @Test func forgetsWhatIsRemovedAndTakesItBack() throws {
        let pair = try TCPPair()
        let poller = try Poller()
        try poller.add(readable: pair.server, token: 3)
        #expect(send(pair.client, [1]).count == 1)
        #expect(events(poller, milliseconds: 5_000)[3] == [.readable])
        poller.remove(pair.server)
        #expect(events(poller).isEmpty)
        try poller.add(readable: pair.server, token: 4)
        #expect(events(poller, milliseconds: 5_000)[4] == [.readable])
        poller.remove(pair.server)
        poller.remove(pair.server)
        #expect(events(poller).isEmpty)
    }

    /// Out of order, these are bugs or limits of the system; either way a value, not a dead process.
    @Test func refusesWhatCannotBeWatched() throws {
        let pair = try TCPPair()
        let poller = try Poller()
        try poller.add(stream: pair.server, token: 1)
        #expect(throws: SystemError.self) { try poller.add(stream: pair.server, token: 2) }
        #expect(throws: SystemError.self) { try poller.add(readable: -1, token: 3) }
        let error = #expect(throws: SystemError.self) { try poller.add(stream: pair.server, token: 2) }
        #expect(error?.code == EEXIST)
        #expect(error?.description == "epoll_ctl: File exists")
    }

    /// More connections may be ready than one turn takes; those beyond must come with the next turn, all of them.
    @Test func givesTheRestWithTheNextTurn() throws {
        let poller = try Poller()
        let count = Poller.eventsPerTurnMax + 40
        let boxes = try (0..<count).map { _ in try Mailbox<Int>() }
        for (index, box) in boxes.enumerated() {
            try poller.add(readable: box.descriptor, token: UInt64(index))
            box.send(index)
        }
        var served: Set<UInt64> = []
        eventually("every mailbox is served") {
            let turn = poller.wait(timeoutMilliseconds: 10)
            #expect(turn <= Poller.eventsPerTurnMax)
            for index in 0..<turn {
                let token = poller.event(index).token
                served.insert(token)
                #expect(boxes[Int(token)].take() == [Int(token)])
            }
            return served.count == count
        }
    }
}
