internal import HTTP
internal import Primitives

/// HTTP/2 over the far end of a connection, from either side.
final class SimulatedSession {
    let peer: SimulatedPeer
    private let clock: SimulatedClock
    private var session: HTTP2Session
    /// Outlives the session.
    private let inbox: OwnedInbox
    private var list = HTTP2FieldList()
    private var output = ByteBuffer()
    private var isPlanned = false
    /// The messages being read, by stream.
    private(set) var messages: [Int32: SimulatedMessage] = [:]
    private(set) var isBroken = false
    private(set) var saidGoAway = false
    /// A message is complete, or its stream is gone.
    var onMessage: (SimulatedSession, Int32) -> Void = { _, _ in }
    /// The other side has closed or reset the connection.
    var onEnd: (SimulatedSession) -> Void = { _ in }

    init(_ role: HTTP2Session.Role, _ peer: SimulatedPeer, _ clock: SimulatedClock) {
        self.peer = peer
        self.clock = clock
        let own = OwnedInbox(limits: HTTPLimits())
        session = unsafe HTTP2Session(role, inbox: own.pointer, now: clock.now)
        inbox = own
        peer.onEvent = { [weak self] peer, event in
            guard let self else { return }
            if event == .bytes { receive(peer.take()) } else { onEnd(self) }
        }
        pump()
    }

    // MARK: Sending

    /// Sends what is to be sent, after everything that happens now.
    func pump() {
        guard !isPlanned else { return }
        isPlanned = true
        clock.after(0) { [weak self] in
            guard let self else { return }
            isPlanned = false
            _ = session.fill(&output, bytesMax: 1 << 24)
            let bytes = unsafe Array(output.readable)
            output.clear()
            peer.send(bytes)
            read(from: [])
        }
    }

    private func put(_ fields: [(String, String)]) {
        list.begin()
        for (name, value) in fields {
            unsafe Array(name.utf8).withUnsafeBytes { name in
                unsafe Array(value.utf8).withUnsafeBytes { unsafe list.add(name, copying: $0) }
            }
        }
    }

    /// Begins a request; nil when there may be no further one.
    func request(_ fields: [(String, String)], hasBody: Bool) -> Int32? {
        put(fields)
        defer { pump() }
        return session.submitRequest(list, token: 1, hasBody: hasBody)
    }

    func respond(_ fields: [(String, String)], stream: Int32, hasBody: Bool) {
        put(fields)
        _ = session.submitResponse(list, stream: stream, hasBody: hasBody)
        pump()
    }

    func inform(_ fields: [(String, String)], stream: Int32) {
        put(fields)
        session.submitInterim(list, stream: stream)
        pump()
    }

    func append(_ bytes: [UInt8], stream: Int32) {
        unsafe bytes.withUnsafeBytes { unsafe _ = session.append($0, stream: stream) }
        pump()
    }

    func end(stream: Int32, trailers: String = "") {
        unsafe Array(trailers.utf8).withUnsafeBytes { unsafe session.end(stream: stream, trailers: $0) }
        pump()
    }

    func reset(stream: Int32, code: UInt32) {
        session.reset(stream: stream, code: code)
        pump()
    }

    func goAway() {
        session.goAway()
        pump()
    }

    // MARK: Receiving

    private func receive(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty, !isBroken {
            let piece = Array(rest)
            let (taken, outcome) = unsafe piece.withUnsafeBytes { unsafe session.receive($0, now: clock.now) }
            read(from: piece)
            if outcome != .fine { isBroken = true }
            if taken == 0 { break }
            rest = rest.dropFirst(taken)
        }
        pump()
    }

    private func read(from bytes: [UInt8]) {
        let events = unsafe inbox.pointer.pointee.events.elements
        var done: [Int32] = []
        for event in events {
            switch event.kind {
            case .head: take(unsafe inbox.pointer.pointee.block(of: event), event.stream)
            case .data:
                messages[event.stream]?.body += bytes[Int(event.start)..<Int(event.start + event.count)]
                session.consume(Int(event.count), stream: event.stream)
            case .end:
                messages[event.stream]?.isComplete = true
                done.append(event.stream)
            case .closed:
                if event.code != 0 || messages[event.stream]?.isComplete != true {
                    messages[event.stream, default: SimulatedMessage()].resetCode = event.code
                    done.append(event.stream)
                }
            case .goAway: saidGoAway = true
            }
        }
        unsafe inbox.pointer.pointee.clear()
        unsafe inbox.pointer.pointee.clearDrained()
        for stream in done { onMessage(self, stream) }
    }

    private func take(_ section: HeadSection, _ stream: Int32) {
        var head = MessageHead()
        unsafe head.load(section, from: &inbox.pointer.pointee)
        var fields: [(name: String, value: String)] = []
        for index in 0..<head.fieldCount {
            fields.append((head.nameBytes(at: index).text, head.bytes(at: index).text))
        }
        if section.isTrailers {
            messages[stream]?.fields += fields
        } else if section.isRequest || section.status >= 200 {
            var message = SimulatedMessage()
            let request = head.methodBytes.text + " " + head.targetBytes.text
            message.startLine = section.isRequest ? request + " HTTP/2" : "HTTP/2 \(section.status)"
            message.fields = fields
            messages[stream] = message
        }
    }
}
