/// A client of HTTP/1.1: it sends what it is told to, and reads what comes as responses.
public final class SimulatedClient {
    public let peer: SimulatedPeer
    private var reader = MessageReader(readsResponses: true)

    public init(_ peer: SimulatedPeer) {
        self.peer = peer
        peer.onEvent = { [weak self] peer, event in
            switch event {
            case .bytes: self?.reader.take(peer.take())
            case .ended: self?.reader.takeEnd()
            case .reset: break
            }
        }
    }

    /// Final responses that have come whole, in order.
    public var responses: [SimulatedMessage] { reader.messages.filter { $0.status >= 200 || $0.status == 101 } }
    /// Interim responses (1xx).
    public var interim: [SimulatedMessage] { reader.messages.filter { $0.status < 200 && $0.status != 101 } }
    /// A response whose head is here and whose end is not.
    public var partial: SimulatedMessage? { reader.current }
    /// Bytes behind a 101.
    public var raw: [UInt8] { reader.raw }
    /// What came is no response.
    public var isBroken: Bool { reader.isBroken }
    public var isEnded: Bool { peer.sawEnd }
    public var isReset: Bool { peer.sawReset }

    public func send(_ text: String) { peer.send(text) }

    /// Asks for something.
    public func get(_ target: String = "/", host: String = "a.test", fields: [(String, String)] = []) {
        send(Self.head("GET", target, host, fields) + "\r\n")
    }

    /// Sends a request with a body whose length is told.
    public func post(_ target: String = "/", host: String = "a.test", _ body: String, fields: [(String, String)] = []) {
        send(Self.head("POST", target, host, fields) + "Content-Length: \(body.utf8.count)\r\n\r\n" + body)
    }

    /// A head without its last line end.
    public static func head(_ method: String, _ target: String, _ host: String, _ fields: [(String, String)] = []) -> String {
        "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n" + fields.map { "\($0.0): \($0.1)\r\n" }.joined()
    }
}
