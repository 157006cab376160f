/// A request or response as somebody at the other end read it.
public struct SimulatedMessage {
    /// `GET /path HTTP/1.1`, or `HTTP/1.1 200 OK`. Over HTTP/2: made up from the pseudo-header fields.
    public var startLine = ""
    public var fields: [(name: String, value: String)] = []
    public var body: [UInt8] = []
    /// Its end has come, as its framing says.
    public var isComplete = false
    /// HTTP/2: the stream was reset with this code.
    public var resetCode: UInt32?

    public init() {}

    /// Of a response; 0 where there is none.
    public var status: Int {
        let words = startLine.split(separator: " ")
        return words.count > 1 ? Int(words[1]) ?? 0 : 0
    }

    public var method: String { String(startLine.prefix { $0 != " " }) }

    /// The target of a request.
    public var target: String {
        let words = startLine.split(separator: " ")
        return words.count > 1 ? String(words[1]) : ""
    }

    public var text: String { String(decoding: body, as: UTF8.self) }

    /// The first value of a field, whatever the case of its name.
    public subscript(_ name: String) -> String? { fields.first { $0.name.lowercased() == name.lowercased() }?.value }
}

/// Reads messages of HTTP/1.1 from bytes as they come, by the plainest rules that are right (RFC 9112 6.3).
public struct MessageReader {
    private enum Part {
        case head, length(Int), chunks, untilClose, raw
    }

    /// Complete messages, in order; interim responses (1xx) among them.
    public private(set) var messages: [SimulatedMessage] = []
    /// The message whose head is here and whose end is not.
    public private(set) var current: SimulatedMessage?
    /// What came is no message.
    public private(set) var isBroken = false
    /// Bytes behind a 101: another protocol's.
    public private(set) var raw: [UInt8] = []
    private var bytes: [UInt8] = []
    private var part = Part.head
    private let readsResponses: Bool

    public init(readsResponses: Bool) { self.readsResponses = readsResponses }

    /// A head has begun, or a body, and its end has not come.
    public var isInMessage: Bool { current != nil || !bytes.isEmpty }

    public mutating func take(_ more: [UInt8]) {
        bytes += more
        while !isBroken, step() {}
    }

    /// The other side sends no more.
    public mutating func takeEnd() {
        if case .untilClose = part { finish() }
    }

    /// False = more must come.
    private mutating func step() -> Bool {
        switch part {
        case .head: return readHead()
        case .length(let left):
            let count = min(left, bytes.count)
            current?.body += bytes.prefix(count)
            bytes.removeFirst(count)
            part = .length(left - count)
            if left == count { finish() }
            return left == count
        case .chunks: return readChunk()
        case .untilClose:
            current?.body += bytes
            bytes = []
            return false
        case .raw:
            raw += bytes
            bytes = []
            return false
        }
    }

    private func line(from start: Int) -> (text: String, next: Int)? {
        var place = start
        while place + 1 < bytes.count {
            if bytes[place] == 13, bytes[place + 1] == 10 { return (String(decoding: bytes[start..<place], as: UTF8.self), place + 2) }
            place += 1
        }
        return nil
    }

    private mutating func readHead() -> Bool {
        guard let first = line(from: 0) else { return false }
        var message = SimulatedMessage()
        message.startLine = first.text
        var place = first.next
        while true {
            guard let next = line(from: place) else { return false }
            place = next.next
            if next.text.isEmpty { break }
            guard let colon = next.text.firstIndex(of: ":") else {
                isBroken = true
                return false
            }
            let value = next.text[next.text.index(after: colon)...].drop { $0 == " " }
            message.fields.append((String(next.text[..<colon]), String(value)))
        }
        bytes.removeFirst(place)
        current = message
        begin(message)
        return true
    }

    private mutating func begin(_ message: SimulatedMessage) {
        if readsResponses, !message.startLine.hasPrefix("HTTP/1.") { isBroken = true }
        if message.status == 101, readsResponses {
            finish()
            part = .raw
        } else if readsResponses, message.status < 200 || message.status == 204 || message.status == 304 {
            finish()
        } else if message["transfer-encoding"] != nil {
            part = .chunks
        } else if let length = message["content-length"].flatMap({ Int($0) }) {
            part = .length(length)
            if length == 0 { finish() }
        } else if readsResponses {
            part = .untilClose
        } else {
            finish()
        }
    }

    private mutating func readChunk() -> Bool {
        guard let first = line(from: 0), let size = Int(first.text.prefix { $0 != ";" }, radix: 16) else {
            if line(from: 0) != nil { isBroken = true }
            return false
        }
        if size == 0 {
            // Trailers, up to an empty line.
            var place = first.next
            while let next = line(from: place) {
                place = next.next
                if next.text.isEmpty {
                    bytes.removeFirst(place)
                    finish()
                    return true
                }
                let parts = next.text.split(separator: ":", maxSplits: 1)
                if parts.count == 2 { current?.fields.append((String(parts[0]), parts[1].trimmingSpaces)) }
            }
            // Begun anew when more has come.
            return false
        }
        guard bytes.count >= first.next + size + 2 else { return false }
        current?.body += bytes[first.next..<first.next + size]
        bytes.removeFirst(first.next + size + 2)
        return true
    }

    private mutating func finish() {
        current?.isComplete = true
        if let current { messages.append(current) }
        current = nil
        part = .head
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String { String(drop { $0 == " " }) }
}
