/// The pieces of an identity, as the table `series` has them: varint count, varint number…
enum PieceNumbers {
    static func encode(_ numbers: [UInt32]) -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        writer.append(varint: UInt64(numbers.count))
        for number in numbers { writer.append(varint: UInt64(number)) }
        return writer.array()
    }

    /// Nil = damaged.
    static func decode(_ bytes: [UInt8]) -> [Int]? {
        ByteReader.read(bytes) { reader in
            var numbers: [Int] = []
            for _ in 0..<reader.count() { numbers.append(Int(clamping: reader.varint())) }
            return reader.failed || reader.remaining > 0 ? nil : numbers
        }
    }
}

/// Days since 1970, in which the file notes until when a series had samples.
enum SeriesDay {
    static let milliseconds: Int64 = 86_400_000
}
