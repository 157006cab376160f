public import Primitives

/// The beginning of a TLS connection, read without taking part in it (RFC 8446 4.1.2, RFC 6066 3, RFC 7301 3.1). A hello may be spread over
/// several records (RFC 8446 5.1); it is put together as it is cut, whatever pieces it arrives in.
public enum ClientHello: Equatable, Sendable {
    /// Not all of it has arrived.
    case incomplete
    /// These bytes begin no TLS connection.
    case notTLS
    /// TLS, and whom it is for cannot be told: the connection is to be refused.
    case refused(Refusal)
    /// `serverName`: as sent; empty = none. `offersIstio`: an Istio protocol is among those offered by ALPN (semantics 2.7).
    case hello(serverName: [UInt8], offersIstio: Bool)

    /// Why a hello is not read to its end.
    public enum Refusal: String, Sendable, CustomStringConvertible {
        case tooLong
        case tooManyRecords
        /// A record of another type, or of a length that it may not have, before the hello's end (RFC 8446 5.1).
        case brokenRecords

        public var description: String {
            switch self {
            case .tooLong: "a ClientHello of more than \(ClientHello.bytesMax) bytes"
            case .tooManyRecords: "a ClientHello in more than \(ClientHello.recordsMax) records"
            case .brokenRecords: "a ClientHello that ends within its records"
            }
        }
    }

    /// A hello with its header of 4 bytes is this long at most, and so is a record's content; real ones are below 2 KiB, post-quantum ones
    /// below 4.
    public static let bytesMax = 16 * 1024
    /// Records that one hello may be cut into. Each look at what has arrived costs a step for each of them.
    public static let recordsMax = 2048

    private static let recordHeaderBytes = 5
    private static let messageHeaderBytes = 4
    private static let handshakeType: UInt8 = 22
    private static let helloType: UInt8 = 1

    /// Looks at the first bytes of a connection. More bytes never change an answer other than `incomplete`.
    @unsafe
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> ClientHello { look(unsafe LentMessage(bytes)) }

    /// The same of lent bytes.
    public static func parse(_ bytes: LentBytes) -> ClientHello { unsafe parse(bytes.buffer) }

    private static func look(_ bytes: LentMessage) -> ClientHello {
        if bytes.count == 0 { return .incomplete }
        guard bytes[0] == handshakeType else { return .notTLS }
        guard bytes.count > recordHeaderBytes else { return .incomplete }
        guard bytes[1] == 3, bytes[recordHeaderBytes] == helloType else { return .notTLS }
        let first = contentBytes(bytes, at: 0)
        guard first > 0, first <= bytesMax else { return .notTLS }
        return assemble(bytes)
    }

    /// Of a record whose header is at `place`.
    private static func contentBytes(_ bytes: LentMessage, at place: Int) -> Int { Int(bytes[place + 3]) << 8 | Int(bytes[place + 4]) }

    /// Walks the records up to the hello's end. Until that is there nothing is copied.
    private static func assemble(_ bytes: LentMessage) -> ClientHello {
        var header = InlineArray<4, UInt8>(repeating: 0)
        var headerCount = 0
        // Of the whole message; until its header has told, that header alone.
        var needed = messageHeaderBytes
        var found = 0
        var place = 0
        var records = 0
        while found < needed {
            guard bytes.count - place >= recordHeaderBytes else { return .incomplete }
            let count = contentBytes(bytes, at: place)
            let isRecord = bytes[place] == handshakeType && bytes[place + 1] == 3
            guard isRecord, count > 0, count <= bytesMax else { return .refused(.brokenRecords) }
            records += 1
            guard records <= recordsMax else { return .refused(.tooManyRecords) }
            place += recordHeaderBytes
            let present = min(count, bytes.count - place)
            var offset = 0
            while headerCount < messageHeaderBytes, offset < present {
                header[headerCount] = bytes[place + offset]
                headerCount += 1
                offset += 1
            }
            if headerCount == messageHeaderBytes {
                needed = messageHeaderBytes + (Int(header[1]) << 16 | Int(header[2]) << 8 | Int(header[3]))
                guard needed <= bytesMax else { return .refused(.tooLong) }
            }
            guard present == count else { return .incomplete }
            found += count
            place += count
        }
        return records > 1 ? readScattered(bytes, needed) : read(bytes, recordHeaderBytes..<(recordHeaderBytes + needed))
    }

    /// A hello of `needed` bytes that is all there, in sound records.
    private static func readScattered(_ bytes: LentMessage, _ needed: Int) -> ClientHello {
        var message: [UInt8] = []
        message.reserveCapacity(needed)
        var place = 0
        while message.count < needed {
            let start = place + recordHeaderBytes
            let count = contentBytes(bytes, at: place)
            message += bytes.copy(start..<(start + min(count, needed - message.count)))
            place = start + count
        }
        return unsafe message.withUnsafeBytes { read(unsafe LentMessage($0), 0..<needed) }
    }

    /// Reads the message, with its header, that lies at `place`.
    private static func read(_ bytes: LentMessage, _ place: Range<Int>) -> ClientHello {
        let none = ClientHello.hello(serverName: [], offersIstio: false)
        var reader = HelloReader(bytes: bytes, position: place.lowerBound + messageHeaderBytes, end: place.upperBound)
        // Version, random, session, suites, compression.
        guard reader.skip(34), reader.skipVector8(), reader.skipVector16(), reader.skipVector8() else { return none }
        guard let total = reader.number16(), let extensionsEnd = reader.place(total) else { return none }
        var name: [UInt8] = []
        var offersIstio = false
        while reader.position + 4 <= extensionsEnd, let kind = reader.number16(), let count = reader.number16(),
            let end = reader.place(count)
        {
            if kind == 0 {
                // One list with one host name (type 0).
                var inner = reader
                if inner.skip(2), inner.number8() == 0, let length = inner.number16(), let nameEnd = inner.place(length), nameEnd <= end {
                    name = bytes.copy(inner.position..<nameEnd)
                }
            } else if kind == 16 {
                var inner = reader
                _ = inner.skip(2)
                while inner.position < end, let length = inner.number8(), let protocolEnd = inner.place(length), protocolEnd <= end {
                    if length >= 5, bytes.has("istio", at: inner.position) { offersIstio = true }
                    inner.position = protocolEnd
                }
            }
            reader.position = end
        }
        return .hello(serverName: name, offersIstio: offersIstio)
    }
}

/// Bytes of the caller's for the time of a call; every place is checked.
@safe
private struct LentMessage {
    private let bytes: UnsafeRawBufferPointer

    @unsafe init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

    var count: Int { unsafe bytes.count }

    subscript(place: Int) -> UInt8 {
        precondition(place >= 0 && place < count, "a place outside of the bytes")
        return unsafe bytes[place]
    }

    func copy(_ places: Range<Int>) -> [UInt8] {
        precondition(places.lowerBound >= 0 && places.upperBound <= count, "places outside of the bytes")
        return unsafe Array(bytes[places])
    }

    /// `text` is ASCII.
    func has(_ text: StaticString, at place: Int) -> Bool {
        guard place >= 0, count - place >= text.utf8CodeUnitCount else { return false }
        return unsafe ASCII.equal(UnsafeRawBufferPointer(rebasing: bytes[place..<(place + text.utf8CodeUnitCount)]), text)
    }
}

/// A place in a message, from which numbers and vectors are read. It never leaves the message.
private struct HelloReader {
    let bytes: LentMessage
    var position: Int
    let end: Int

    mutating func skip(_ count: Int) -> Bool {
        guard position + count <= end else { return false }
        position += count
        return true
    }

    mutating func number8() -> Int? {
        guard position < end else { return nil }
        position += 1
        return Int(bytes[position - 1])
    }

    mutating func number16() -> Int? {
        guard position + 2 <= end else { return nil }
        position += 2
        return Int(bytes[position - 2]) << 8 | Int(bytes[position - 1])
    }

    /// Where `count` bytes from here end, if they are there.
    func place(_ count: Int) -> Int? { position + count <= end ? position + count : nil }

    mutating func skipVector8() -> Bool {
        guard let count = number8() else { return false }
        return skip(count)
    }

    mutating func skipVector16() -> Bool {
        guard let count = number16() else { return false }
        return skip(count)
    }
}
