extension ProtobufReader {
    /// The numbers of a repeated field that has been begun, packed or one of them. False = the list would have more than `most`: it stays
    /// as it is, or ends there.
    mutating func appendVarints(to list: inout [UInt64], most: Int) throws(ProtobufError) -> Bool {
        if wireType == 0 {
            let value = try varint()
            guard list.count < most else { return false }
            list.append(value)
            return true
        }
        var packed = ProtobufReader(self, try bytesField())
        while packed.at < packed.end {
            guard list.count < most else { return false }
            list.append(try packed.varint())
        }
        return true
    }

    /// The same for numbers of eight bytes.
    mutating func appendFixed64(to list: inout [UInt64], most: Int) throws(ProtobufError) -> Bool {
        if wireType == 1 {
            let value = try fixed64Field()
            guard list.count < most else { return false }
            list.append(value)
            return true
        }
        let range = try bytesField()
        guard range.count % 8 == 0 else { throw error(.truncated) }
        guard range.count / 8 <= most - min(list.count, most) else { return false }
        var packed = ProtobufReader(self, range)
        packed.wireType = 1
        while packed.at < packed.end { list.append(try packed.fixed64Field()) }
        return true
    }

    mutating func appendDoubles(to list: inout [Double], most: Int) throws(ProtobufError) -> Bool {
        var bits: [UInt64] = []
        let isWhole = try appendFixed64(to: &bits, most: most - min(list.count, most))
        list += bits.map(Double.init(bitPattern:))
        return isWhole
    }
}
