internal import HTTP
public import Primitives

/// A client of HTTP/2.
public final class SimulatedHTTP2Client {
    public let peer: SimulatedPeer
    private let session: SimulatedSession
    /// Streams in the order in which they were begun.
    public private(set) var streams: [Int32] = []

    public init(_ peer: SimulatedPeer, _ clock: SimulatedClock) {
        self.peer = peer
        session = SimulatedSession(.client, peer, clock)
    }

    /// The response on a stream, as far as it has come; nil = nothing has.
    public func response(_ stream: Int32?) -> SimulatedMessage? { stream.flatMap { session.messages[$0] } }
    /// The worker broke the protocol.
    public var isBroken: Bool { session.isBroken }
    public var sawGoAway: Bool { session.saidGoAway }

    /// Begins a request; its stream, or nil when the worker takes no further one. `body`: nil = it has none; `ends`: it is complete.
    public func request(
        _ method: String = "GET", _ path: String = "/", host: String = "a.test", fields: [(String, String)] = [], body: String? = nil,
        ends: Bool = true
    ) -> Int32? {
        let head = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)] + fields
        guard let stream = session.request(head, hasBody: body != nil) else { return nil }
        streams.append(stream)
        if let body {
            session.append(Array(body.utf8), stream: stream)
            if ends { session.end(stream: stream) }
        }
        return stream
    }

    /// More of a body.
    public func send(_ body: String, stream: Int32, ends: Bool) {
        session.append(Array(body.utf8), stream: stream)
        if ends { session.end(stream: stream) }
    }

    /// Takes a request back.
    public func cancel(_ stream: Int32) { session.reset(stream: stream, code: HTTP2ErrorCode.cancel) }
}

/// A server of HTTP/2 at an address, which answers by the same scripts as `SimulatedEndpoint`.
public final class SimulatedHTTP2Endpoint {
    public let address: SocketEndpoint
    /// What it answers: given the request and how many it had before.
    public var answer: (SimulatedMessage, Int) -> SimulatedAnswer
    /// Requests in the order in which they were complete.
    public private(set) var requests: [SimulatedMessage] = []
    /// What a request is refused with that is answered with a reset (RFC 9113 7).
    public var resetCode: UInt32 = HTTP2ErrorCode.internalError
    private let clock: SimulatedClock
    private var sessions: [SimulatedSession] = []

    public init(
        _ network: SimulatedNetwork, at address: SocketEndpoint,
        answer: @escaping (SimulatedMessage, Int) -> SimulatedAnswer = { _, _ in SimulatedAnswer() }
    ) {
        self.address = address
        self.answer = answer
        clock = network.clock
        network.listen(at: address) { [weak self] in self?.accept($0) }
    }

    public var peers: [SimulatedPeer] { sessions.map(\.peer) }

    /// Takes no further request on any connection; those that are open are answered.
    public func goAway() { for session in sessions { session.goAway() } }

    private func accept(_ peer: SimulatedPeer) {
        let session = SimulatedSession(.server, peer, clock)
        sessions.append(session)
        session.onMessage = { [weak self] session, stream in self?.serve(session, stream) }
        session.onEnd = { $0.peer.close() }
    }

    private func serve(_ session: SimulatedSession, _ stream: Int32) {
        guard let request = session.messages[stream], request.isComplete, request.resetCode == nil else { return }
        let reply = answer(request, requests.count)
        requests.append(request)
        if reply.isSilent { return }
        clock.after(reply.pauseNanoseconds) { [weak self, weak session] in
            if let self, let session { begin(reply, session, stream) }
        }
    }

    private func begin(_ reply: SimulatedAnswer, _ session: SimulatedSession, _ stream: Int32) {
        if let raw = reply.raw {
            session.peer.send(raw)
            return finish(reply, session, stream)
        }
        for status in reply.interim { session.inform([(":status", "\(status)")], stream: stream) }
        var fields = [(":status", "\(reply.status)")] + reply.fields
        if reply.framing == .length { fields.append(("content-length", "\(reply.body.count)")) }
        session.respond(fields, stream: stream, hasBody: !reply.body.isEmpty)
        let body = reply.cutAt.map { reply.body.prefix($0) } ?? reply.body[...]
        if reply.body.isEmpty { return finish(reply, session, stream) }
        send(body, reply, session, stream)
    }

    private func send(_ bytes: ArraySlice<UInt8>, _ reply: SimulatedAnswer, _ session: SimulatedSession, _ stream: Int32) {
        let count = reply.pieceBytes == 0 ? bytes.count : min(reply.pieceBytes, bytes.count)
        session.append(Array(bytes.prefix(count)), stream: stream)
        let rest = bytes.dropFirst(count)
        guard rest.isEmpty else {
            return clock.after(reply.pieceNanoseconds) { [weak self, weak session] in
                if let self, let session { send(rest, reply, session, stream) }
            }
        }
        if reply.cutAt == nil { session.end(stream: stream) }
        finish(reply, session, stream)
    }

    private func finish(_ reply: SimulatedAnswer, _ session: SimulatedSession, _ stream: Int32) {
        switch reply.ending {
        case .keeps: break
        case .resets: session.reset(stream: stream, code: resetCode)
        // What was given to the session goes out first.
        case .halfCloses: clock.after(0) { session.peer.end() }
        case .closes: clock.after(0) { session.peer.close() }
        }
    }
}
