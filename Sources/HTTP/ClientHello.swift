internal import Primitives

/// The beginning of a TLS connection, read without taking part in it (RFC 8446 4.1.2, RFC 6066 3, RFC 7301 3.1).
public enum ClientHello: Equatable, Sendable {
    /// Not all of it has arrived.
    case incomplete
    /// These bytes begin no TLS connection.
    case notTLS
    /// `serverName`: place of the name in the bytes; empty = none. `offersIstio`: an Istio protocol is among those offered by ALPN
    /// (semantics 2.7).
    case hello(serverName: Range<Int>, offersIstio: Bool)

    /// A hello longer than this is refused as none; real ones are below 2 KiB, post-quantum ones below 4.
    public static let bytesMax = 16 * 1024

    /// Looks at the first bytes of a connection. A hello that is spread over several records is looked at in its first only.
    @unsafe
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> ClientHello {
        if bytes.count == 0 { return .incomplete }
        guard unsafe bytes[0] == 0x16 else { return .notTLS }
        guard bytes.count >= 6 else { return .incomplete }
        guard unsafe bytes[1] == 3, unsafe bytes[5] == 1 else { return .notTLS }
        let recordEnd = unsafe 5 + (Int(bytes[3]) << 8 | Int(bytes[4]))
        guard recordEnd <= bytesMax + 5 else { return .notTLS }
        guard bytes.count >= recordEnd else { return .incomplete }
        var reader = unsafe HelloReader(bytes: bytes, position: 9, end: recordEnd)
        // Version, random, session, suites, compression.
        let bare = Self.hello(serverName: 0..<0, offersIstio: false)
        guard reader.skip(34), reader.skipVector8(), reader.skipVector16(), reader.skipVector8() else { return bare }
        guard let total = reader.number16(), let extensionsEnd = reader.place(total) else { return bare }
        var name = 0..<0
        var offersIstio = false
        while reader.position + 4 <= extensionsEnd, let kind = reader.number16(), let count = reader.number16(),
            let end = reader.place(count)
        {
            if kind == 0 {
                // One list with one host name (type 0).
                var inner = reader
                if inner.skip(2), inner.number8() == 0, let length = inner.number16(), let nameEnd = inner.place(length), nameEnd <= end {
                    name = inner.position..<nameEnd
                }
            } else if kind == 16 {
                var inner = reader
                _ = inner.skip(2)
                while inner.position < end, let length = inner.number8(), let protocolEnd = inner.place(length), protocolEnd <= end {
                    let text: StaticString = "istio"
                    if length >= 5,
                        unsafe ASCII.equal(UnsafeRawBufferPointer(rebasing: bytes[inner.position..<inner.position + 5]), text)
                    {
                        offersIstio = true
                    }
                    inner.position = protocolEnd
                }
            }
            reader.position = end
        }
        return .hello(serverName: name, offersIstio: offersIstio)
    }
}

@safe
private struct HelloReader {
    let bytes: UnsafeRawBufferPointer
    var position: Int
    let end: Int

    init(bytes: UnsafeRawBufferPointer, position: Int, end: Int) {
        unsafe self.bytes = unsafe bytes
        self.position = position
        self.end = end
    }

    mutating func skip(_ count: Int) -> Bool {
        guard position + count <= end else { return false }
        position += count
        return true
    }

    mutating func number8() -> Int? {
        guard position < end else { return nil }
        position += 1
        return unsafe Int(bytes[position - 1])
    }

    mutating func number16() -> Int? {
        guard position + 2 <= end else { return nil }
        position += 2
        return unsafe Int(bytes[position - 2]) << 8 | Int(bytes[position - 1])
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
