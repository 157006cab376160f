public import Primitives

/// A server of HTTP/1.1 at an address, which answers by a script.
public final class SimulatedEndpoint {
    /// One connection to it.
    final class Session {
        let peer: SimulatedPeer
        var reader = MessageReader(readsResponses: false)
        var answered = 0
        var isAnswering = false

        init(_ peer: SimulatedPeer) { self.peer = peer }
    }

    public let address: SocketEndpoint
    /// What it answers: given the request and how many it had before.
    public var answer: (SimulatedMessage, Int) -> SimulatedAnswer
    /// Requests in the order in which they were complete.
    public private(set) var requests: [SimulatedMessage] = []
    private let clock: SimulatedClock
    private var sessions: [Session] = []

    public init(
        _ network: SimulatedNetwork, at address: SocketEndpoint,
        answer: @escaping (SimulatedMessage, Int) -> SimulatedAnswer = { _, _ in SimulatedAnswer() }
    ) {
        self.address = address
        self.answer = answer
        clock = network.clock
        network.listen(at: address) { [weak self] in self?.accept($0) }
    }

    /// Connections it has had; those that it has not ended itself.
    public var connectionCount: Int { sessions.count }
    public var peers: [SimulatedPeer] { sessions.map(\.peer) }

    private func accept(_ peer: SimulatedPeer) {
        let session = Session(peer)
        sessions.append(session)
        peer.onEvent = { [weak self, weak session] peer, event in
            guard let self, let session else { return }
            switch event {
            case .bytes:
                session.reader.take(peer.take())
                serve(session)
            // As servers do: who sends no more is done.
            case .ended: if !session.isAnswering { peer.close() }
            case .reset: break
            }
        }
    }

    private func serve(_ session: Session) {
        guard !session.isAnswering, session.answered < session.reader.messages.count else { return }
        let request = session.reader.messages[session.answered]
        session.answered += 1
        session.isAnswering = true
        let reply = answer(request, requests.count)
        requests.append(request)
        if reply.isSilent { return }
        clock.after(reply.pauseNanoseconds) { [self] in send(reply.bytes[...], reply, session) }
    }

    private func send(_ bytes: ArraySlice<UInt8>, _ reply: SimulatedAnswer, _ session: Session) {
        let count = reply.pieceBytes == 0 ? bytes.count : min(reply.pieceBytes, bytes.count)
        session.peer.send(Array(bytes.prefix(count)))
        let rest = bytes.dropFirst(count)
        if !rest.isEmpty { return clock.after(reply.pieceNanoseconds) { [self] in send(rest, reply, session) } }
        // Behind a 101 come no requests.
        session.isAnswering = reply.status == 101 && reply.raw == nil
        switch reply.ending {
        case .keeps: serve(session)
        case .halfCloses: session.peer.end()
        case .closes: session.peer.close()
        case .resets: session.peer.reset()
        }
    }
}
