internal import Primitives

/// Writes a protobuf message (Protocol Buffers, "Encoding"). Kept and reused, so that its memory stays.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    mutating func clear() { bytes.removeAll(keepingCapacity: true) }

    /// Zero is not written, as in proto3.
    mutating func add(_ field: UInt64, number: UInt64) {
        guard number != 0 else { return }
        append(varint: field << 3)
        append(varint: number)
    }

    /// Bytes, whatever they are. Empty ones are not written.
    mutating func add(_ field: UInt64, bytes value: LentBytes) {
        guard !value.isEmpty else { return }
        append(varint: field << 3 | 2)
        append(varint: UInt64(value.count))
        unsafe bytes.append(contentsOf: value.buffer)
    }

    /// Text. A reader would refuse the whole message for text that is no UTF-8: what is not ASCII in such text becomes `!`, as in Envoy.
    mutating func add(_ field: UInt64, text value: LentBytes) {
        add(field, bytes: value)
        let start = bytes.count - value.count
        guard bytes[start...].contains(where: { $0 >= 0x80 }), String(validating: bytes[start...], as: UTF8.self) == nil else { return }
        for index in start..<bytes.count where bytes[index] >= 0x80 { bytes[index] = UInt8(ascii: "!") }
    }

    mutating func add(_ field: UInt64, text value: StaticString) { add(field, bytes: LentBytes(value)) }

    /// A message within this one, also when it is empty.
    mutating func add(_ field: UInt64, message body: (inout ProtobufWriter) -> Void) {
        append(varint: field << 3 | 2)
        let start = bytes.count
        body(&self)
        var length: [UInt8] = []
        Self.append(varint: UInt64(bytes.count - start), to: &length)
        bytes.insert(contentsOf: length, at: start)
    }

    /// Fields that stand in another writer.
    mutating func append(_ fields: ProtobufWriter) { bytes += fields.bytes }

    /// An entry of a map from text to text. `values` are joined by commas.
    mutating func add(_ field: UInt64, key: LentBytes, values: (inout [UInt8]) -> Void) {
        add(field) { entry in
            key.withLowercased { entry.add(1, text: $0) }
            var joined: [UInt8] = []
            values(&joined)
            unsafe joined.withUnsafeBytes { unsafe entry.add(2, text: LentBytes($0)) }
        }
    }

    private mutating func append(varint value: UInt64) { Self.append(varint: value, to: &bytes) }

    private static func append(varint value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}
