/// Finds the CONTINUATION frames among a peer's bytes before nghttp2 gets them: of those that belong to a section it ignores, it tells
/// nobody.
struct HTTP2FrameMeter: BitwiseCopyable, Sendable {
    static let continuation: UInt8 = 9
    static let prefaceBytes = 24

    /// Bytes before the next frame header.
    private var ahead: Int
    /// Bytes of the frame header that have been read, and the length they say.
    private var headerCount = 0
    private var length = 0

    /// `hasPreface`: the client's preface comes first (RFC 9113 3.4).
    init(hasPreface: Bool) { ahead = hasPreface ? Self.prefaceBytes : 0 }

    /// How many of the bytes to take so that the next CONTINUATION frame begins a turn of its own, and the length of the one that they
    /// begin with; 0 = they begin with another.
    @unsafe
    mutating func next(_ bytes: UnsafeRawBufferPointer) -> (count: Int, continuationBytes: Int) {
        var position = 0
        var continuationBytes = 0
        while position < bytes.count {
            if ahead > 0 {
                let step = min(ahead, bytes.count - position)
                ahead -= step
                position += step
                continue
            }
            if headerCount == 0, position > 0, bytes.count - position > 3, unsafe bytes[position + 3] == Self.continuation { break }
            let byte = unsafe bytes[position]
            // Length of three bytes, type, flags, stream of four (RFC 9113 4.1).
            if headerCount < 3 {
                length = length << 8 | Int(byte)
            } else if headerCount == 3, byte == Self.continuation {
                continuationBytes += length
            }
            headerCount += 1
            position += 1
            if headerCount == 9 {
                ahead = length
                headerCount = 0
                length = 0
            }
        }
        return (position, continuationBytes)
    }
}
