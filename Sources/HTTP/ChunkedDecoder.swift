internal import Primitives

/// What the decoder found at the front of the input.
public enum ChunkEvent: Equatable, Sendable {
    /// Everything given was used; more is needed.
    case needMore
    /// The next `count` bytes after the `consumed` ones are body data.
    case data(count: Int)
    /// The last chunk has been read: what follows is the trailer section (`HeadParser.parseTrailers`).
    case trailers
    case malformed
}

/// Decodes the chunked transfer coding (RFC 9112 7.1) one step at a time, whatever the pieces it arrives in.
///
/// Sizes are hexadecimal digits only (no sign, prefix or white space), extensions are checked and dropped, line ends are CR LF. The
/// framing itself is bounded: `chunkLineBytesMax` for one size line, fifteen digits for a size.
public struct ChunkedDecoder: Sendable {
    private enum State {
        case size, extensions, sizeLineFeed, data, dataCarriageReturn, dataLineFeed, trailers
    }

    private var state = State.size
    private var remaining: UInt64 = 0
    private var digits = 0
    private var lineBytes = 0

    public init() {}

    /// Reads framing from the front of `input` until there is data, the end or nothing left. Returns how many framing bytes to drop first.
    ///
    /// After `.data(count)`, the caller drops those framing bytes, uses `count` bytes as data, and calls again with what follows.
    @unsafe
    public mutating func next(_ input: UnsafeRawBufferPointer, limits: borrowing HTTPLimits) -> (consumed: Int, event: ChunkEvent) {
        var position = 0
        while position < input.count {
            if state == .data {
                let available = UInt64(input.count - position)
                let count = Int(min(available, remaining))
                remaining -= UInt64(count)
                if remaining == 0 { state = .dataCarriageReturn }
                return (position, .data(count: count))
            }
            let byte = unsafe input[position]
            switch state {
            case .size:
                let digit = ASCII.hexValue(byte)
                if digit < 16 {
                    digits += 1
                    // Fifteen digits are 2^60 - 1: no body is longer, and no sum of them overflows.
                    guard digits <= 15 else { return (position, .malformed) }
                    remaining = remaining << 4 | UInt64(digit)
                } else if digits > 0, byte == 13 {
                    state = .sizeLineFeed
                } else if digits > 0, byte == UInt8(ascii: ";") {
                    state = .extensions
                } else {
                    return (position, .malformed)
                }
            case .extensions:
                lineBytes += 1
                guard lineBytes <= limits.chunkLineBytesMax else { return (position, .malformed) }
                if byte == 13 {
                    state = .sizeLineFeed
                } else if !HeadBytes.isValueByte(byte) {
                    return (position, .malformed)
                }
            case .sizeLineFeed:
                guard byte == 10 else { return (position, .malformed) }
                digits = 0
                lineBytes = 0
                if remaining == 0 {
                    state = .trailers
                    return (position + 1, .trailers)
                }
                state = .data
            case .dataCarriageReturn:
                guard byte == 13 else { return (position, .malformed) }
                state = .dataLineFeed
            case .dataLineFeed:
                guard byte == 10 else { return (position, .malformed) }
                state = .size
            case .trailers:
                return (position, .trailers)
            case .data:
                break
            }
            position += 1
        }
        return (position, state == .trailers ? .trailers : .needMore)
    }
}
