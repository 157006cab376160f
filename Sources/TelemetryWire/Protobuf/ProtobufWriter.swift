/// Appends the fields of one protobuf message (protobuf encoding: varints, eight bytes, lengths). Values that are protobuf's defaults are
/// the caller's to leave out. A value; owns its bytes.
public struct ProtobufWriter {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func varint(_ field: UInt64, _ value: UInt64) {
        append(field << 3)
        append(value)
    }

    public mutating func fixed64(_ field: UInt64, _ value: UInt64) {
        append(field << 3 | 1)
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * shift))) }
    }

    public mutating func data(_ field: UInt64, _ value: some Collection<UInt8>) {
        append(field << 3 | 2)
        append(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    public mutating func text(_ field: UInt64, _ value: String) { data(field, value.utf8) }

    /// A message inside this one, written by `body`.
    public mutating func message(_ field: UInt64, _ body: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        body(&inner)
        data(field, inner.bytes)
    }

    private mutating func append(_ varint: UInt64) {
        var rest = varint
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}
