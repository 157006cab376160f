/// What an endpoint does with a request: an answer in all its parts, or none, or one that goes wrong. The same for both versions of HTTP.
public struct SimulatedAnswer: Sendable {
    public enum Framing: Sendable {
        case length, chunked
        /// HTTP/1.1: the end of the connection ends it.
        case untilClose
    }

    /// What becomes of the connection (of the stream, over HTTP/2) behind it.
    public enum Ending: Sendable {
        /// It goes on.
        case keeps
        /// The endpoint sends no more, closes, or resets.
        case halfCloses, closes, resets
    }

    /// Before the first byte, nanoseconds.
    public var pauseNanoseconds: UInt64 = 0
    /// Statuses of interim responses ahead of it.
    public var interim: [Int] = []
    public var status = 200
    public var fields: [(String, String)] = []
    public var body: [UInt8] = []
    public var framing = Framing.length
    /// It goes out in pieces of so many bytes with so many nanoseconds in between; 0 = in one.
    public var pieceBytes = 0
    public var pieceNanoseconds: UInt64 = 0
    /// HTTP/1.1: only so many bytes of it go out. HTTP/2: so many of its body. Nil = all.
    public var cutAt: Int?
    /// HTTP/1.1: sent as they are, in place of everything above; HTTP/2 sends them as frames.
    public var raw: [UInt8]?
    public var ending = Ending.keeps
    /// Nothing is sent, and the ending does not come.
    public var isSilent = false

    public init(status: Int = 200, _ body: String = "", fields: [(String, String)] = [], framing: Framing = .length) {
        self.status = status
        self.body = Array(body.utf8)
        self.fields = fields
        self.framing = framing
        if framing == .untilClose { ending = .closes }
    }

    /// No answer ever comes.
    public static var silence: SimulatedAnswer {
        var answer = SimulatedAnswer()
        answer.isSilent = true
        return answer
    }

    /// Bytes that are no answer.
    public static func garbage(_ text: String) -> SimulatedAnswer {
        var answer = SimulatedAnswer()
        answer.raw = Array(text.utf8)
        return answer
    }

    /// Nothing but the end of the connection, or of the stream.
    public static func only(_ ending: Ending) -> SimulatedAnswer {
        var answer = SimulatedAnswer()
        answer.raw = []
        answer.ending = ending
        return answer
    }

    public func after(_ nanoseconds: UInt64) -> SimulatedAnswer {
        var answer = self
        answer.pauseNanoseconds = nanoseconds
        return answer
    }

    /// The same, of which only so many bytes go out before the connection ends.
    public func cut(at count: Int, _ ending: Ending) -> SimulatedAnswer {
        var answer = self
        answer.cutAt = count
        answer.ending = ending
        return answer
    }

    /// The same in pieces.
    public func pieces(of bytes: Int, every nanoseconds: UInt64) -> SimulatedAnswer {
        var answer = self
        answer.pieceBytes = bytes
        answer.pieceNanoseconds = nanoseconds
        return answer
    }

    /// Its bytes over HTTP/1.1.
    var bytes: [UInt8] {
        if let raw { return raw }
        var text = ""
        for status in interim { text += "HTTP/1.1 \(status) Interim\r\n\(status == 103 ? "Link: </a>; rel=preload\r\n" : "")\r\n" }
        text += "HTTP/1.1 \(status) Some Reason\r\n"
        for (name, value) in fields { text += "\(name): \(value)\r\n" }
        let hasBody = status != 204 && status != 304 && status != 101
        switch framing {
        case .length: if hasBody { text += "Content-Length: \(body.count)\r\n" }
        case .chunked: text += "Transfer-Encoding: chunked\r\n"
        case .untilClose: text += "Connection: close\r\n"
        }
        var bytes = Array((text + "\r\n").utf8)
        if framing != .chunked { bytes += body } else { bytes += chunks }
        return cutAt.map { Array(bytes.prefix($0)) } ?? bytes
    }

    private var chunks: [UInt8] {
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: body.count, by: 1000) {
            let piece = body[start..<min(body.count, start + 1000)]
            bytes += Array((String(piece.count, radix: 16) + "\r\n").utf8) + piece + [13, 10]
        }
        return bytes + Array("0\r\n\r\n".utf8)
    }
}
