internal import Primitives

/// What can be read of a request whose head is refused or never came to its end: for the log, which should say who asked for what. Never
/// to act on.
public struct RequestGlimpse: Equatable, Sendable {
    /// Places in the bytes; empty = not there.
    public var method = 0..<0
    public var target = 0..<0
    public var host = 0..<0

    /// Methods of the registry have 17 bytes at most; what is longer is no request.
    static let methodBytesMax = 32

    @unsafe
    public init(_ bytes: UnsafeRawBufferPointer) {
        var position = 0
        while position < bytes.count, unsafe bytes[position] == 13 || bytes[position] == 10 { position += 1 }
        let start = position
        while position < bytes.count, unsafe HeadBytes.isToken(bytes[position]) { position += 1 }
        guard position > start, position - start <= Self.methodBytesMax,
            unsafe position == bytes.count || bytes[position] == 32
        else { return }
        method = start..<position
        while position < bytes.count, unsafe bytes[position] == 32 { position += 1 }
        let targetStart = position
        while position < bytes.count, unsafe bytes[position] > 32 && bytes[position] != 127 { position += 1 }
        target = targetStart..<position
        unsafe findHost(bytes, from: position)
    }

    private mutating func findHost(_ bytes: UnsafeRawBufferPointer, from: Int) {
        var position = from
        while let feed = unsafe bytes.firstIndex(of: 10, from: position) {
            position = feed + 1
            guard position + 5 <= bytes.count,
                unsafe ASCII.equal(UnsafeRawBufferPointer(rebasing: bytes[position..<position + 5]), ignoringCase: "host:")
            else { continue }
            position += 5
            while position < bytes.count, unsafe bytes[position] == 32 || bytes[position] == 9 { position += 1 }
            let start = position
            while position < bytes.count, unsafe bytes[position] > 32 && bytes[position] != 127 { position += 1 }
            host = start..<position
            return
        }
    }
}
