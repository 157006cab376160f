internal import EventLoops
internal import HTTP
public import Primitives
internal import Synchronization
public import TLS

/// A request, lent to the handler for the duration of the call: it points into the connection's buffers. Whole in
/// `ServiceHandler.handle`; in `open` it has no body yet.
@safe
public struct ServiceRequest: ~Copyable {
    /// Upper-case as sent.
    public let method: String
    /// Percent-encoding untouched, without the query.
    public let path: String
    /// Without the question mark; empty when there is none.
    public let query: String
    /// Which of the server's listeners it came to.
    public let listener: Int
    public let peer: SocketEndpoint
    /// Who the client has shown itself to be by its certificate, verified when its connection began; its SPIFFE identity is among it where
    /// the certificate is an SVID. Nil = it showed none, was not asked, or speaks plaintext.
    public let client: TLSPeer?
    /// The listener asks its clients for certificates, perhaps without insisting.
    public let asksClient: Bool
    /// The client speaks HTTP/2, and reads trailers.
    public let isHTTP2: Bool
    let fields: [(name: String, value: String)]
    let trailerFields: [(name: String, value: String)]
    let bytes: UnsafeRawBufferPointer

    /// The body, decoded from its transfer coding, not from its content coding. Valid during the call only.
    @unsafe public var body: UnsafeRawBufferPointer { unsafe bytes }

    /// The first value of a field, by its lower-case name.
    public func header(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    /// The first value of a field of the trailer section, by its lower-case name.
    public func trailer(_ name: String) -> String? { trailerFields.first { $0.name == name }?.value }

    /// Decoded query parameters in order; malformed escapes stay as they are.
    public var parameters: [(name: String, value: String)] { QueryString.parse(query) }

    /// The first parameter of that name.
    public func parameter(_ name: String) -> String? { parameters.first { $0.name == name }?.value }
}

public struct ServiceResponse: Sendable {
    public var status: UInt16
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]
    /// Fields behind the body. An answer that has some has no `Content-Length`; an HTTP/1.0 client does not get them.
    public var trailers: [(name: String, value: String)] = []

    public init(status: UInt16, contentType: String? = nil, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = (contentType.map { [("Content-Type", $0)] } ?? []) + headers
        self.body = body
    }

    /// A plain-text answer, for people and for errors. Ends with a line feed.
    public static func text(_ status: UInt16, _ text: String, headers: [(name: String, value: String)] = []) -> ServiceResponse {
        ServiceResponse(status: status, contentType: "text/plain; charset=utf-8", headers: headers, body: Array((text + "\n").utf8))
    }
}

/// What a handler does with a request.
public enum ServiceOutcome {
    case respond(ServiceResponse)
    /// The handler keeps the responder and answers through it.
    case later
}

/// What a handler does about the body of a request whose head has come.
public enum ServiceOpening {
    /// The body is collected; then `handle` is asked.
    case collect
    /// The reader takes the body as it comes, and answers; `handle` is not asked.
    case read(any ServiceBodyReader)
    /// The answer depends on no body.
    case respond(ServiceResponse)
}

/// Answers requests of a server. Called on the server's thread, which it must not block.
public protocol ServiceHandler: AnyObject, Sendable {
    /// The head of a request has come.
    func open(_ request: borrowing ServiceRequest) -> ServiceOpening
    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome
}

extension ServiceHandler {
    public func open(_ request: borrowing ServiceRequest) -> ServiceOpening { .collect }
}

/// Takes the body of one request as it comes. Called on the server's thread, which it must not block. Goes without a further call when
/// the client does.
public protocol ServiceBodyReader: AnyObject {
    /// Bytes that the reader keeps in memory now; they count in the server's bounds.
    var heldBytes: Int { get }
    /// More of the body. Valid during the call only. The client may send as many bytes again once the call returns. An answer ends the
    /// request.
    func receive(_ bytes: UnsafeRawBufferPointer) -> ServiceResponse?
    /// The body is complete.
    func end(_ responder: Responder) -> ServiceOutcome
    /// The answer to a request whose body exceeds a bound of the server. `isRetryable`: there may be room later.
    func refuse(_ reason: String, isRetryable: Bool) -> ServiceResponse
}

/// The way back to the client of one request from any thread. Answers to connections that are gone are dropped, and so are second answers.
///
/// When its last copy goes and the request has not been answered, the client gets a 500 (or a stream that visibly breaks off) instead of
/// waiting for ever.
public struct Responder: Sendable {
    private let debt: AnswerDebt

    init(mailbox: Mailbox<ServerCommand>, request: SlotID, presence: Presence) {
        debt = AnswerDebt(mailbox: mailbox, request: request, presence: presence)
    }

    /// False once the client is known to be gone or to have taken the request back; a moment's value.
    public var isOpen: Bool { debt.presence.isOpen }

    public func respond(_ response: ServiceResponse) {
        debt.settle()
        debt.mailbox.send(.respond(debt.request, response))
    }

    /// Begins an answer of unknown length; follow with `write` and `end`.
    public func begin(status: UInt16, headers: [(name: String, value: String)]) {
        debt.mailbox.send(.begin(debt.request, ServiceResponse(status: status, headers: headers)))
    }

    /// A piece of a streamed answer. A reader that falls too far behind is disconnected.
    public func write(_ bytes: [UInt8]) { debt.mailbox.send(.write(debt.request, bytes)) }

    public func end() {
        debt.settle()
        debt.mailbox.send(.end(debt.request))
    }

    /// The handler has answered in another way.
    func settle() { debt.settle() }
}

/// What a handler owes to one request.
private final class AnswerDebt: Sendable {
    let mailbox: Mailbox<ServerCommand>
    /// Stale once the request has its answer or is gone: an answer that comes twice, or late, must not become the next one's.
    let request: SlotID
    let presence: Presence
    private let isSettled = Atomic<Bool>(false)

    init(mailbox: Mailbox<ServerCommand>, request: SlotID, presence: Presence) {
        self.mailbox = mailbox
        self.request = request
        self.presence = presence
    }

    deinit {
        if !isSettled.load(ordering: .relaxed) { mailbox.send(.abandon(request)) }
    }

    func settle() { isSettled.store(true, ordering: .relaxed) }
}

/// Whether the client of a request is still there, as seen from other threads.
final class Presence: Sendable {
    private let open = Atomic<Bool>(true)

    var isOpen: Bool { open.load(ordering: .relaxed) }
    func leave() { open.store(false, ordering: .relaxed) }
}

enum ServerCommand: Sendable {
    case respond(SlotID, ServiceResponse)
    case begin(SlotID, ServiceResponse)
    case write(SlotID, [UInt8])
    case end(SlotID)
    /// Nobody is left who could answer.
    case abandon(SlotID)
    case judgeClients
    case stopAccepting
    case drain
    case stop
}

/// `application/x-www-form-urlencoded` query strings.
public enum QueryString {
    /// Parameters of one request; the rest is ignored.
    public static let parametersMax = 256

    public static func parse(_ query: String) -> [(name: String, value: String)] {
        query.utf8.split(separator: UInt8(ascii: "&"), maxSplits: parametersMax).prefix(parametersMax).map { pair in
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            return (decode(parts[0]), parts.count > 1 ? decode(parts[1]) : "")
        }
    }

    /// Decodes `+` and `%HH`; a percent sign without two hexadecimal digits stands for itself.
    public static func decode(_ text: Substring.UTF8View.SubSequence) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var index = text.startIndex
        while index < text.endIndex {
            let byte = text[index]
            if byte == UInt8(ascii: "%"), let first = text.index(index, offsetBy: 1, limitedBy: text.endIndex), first < text.endIndex,
                let second = text.index(index, offsetBy: 2, limitedBy: text.endIndex), second < text.endIndex,
                ASCII.hexValue(text[first]) < 16, ASCII.hexValue(text[second]) < 16
            {
                bytes.append(ASCII.hexValue(text[first]) << 4 | ASCII.hexValue(text[second]))
                index = text.index(after: second)
                continue
            }
            bytes.append(byte == UInt8(ascii: "+") ? 0x20 : byte)
            index = text.index(after: index)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
