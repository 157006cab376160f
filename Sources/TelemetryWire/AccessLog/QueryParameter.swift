/// One parameter of a query, as Envoy's QUERY_PARAM reads it (`Http::Utility::QueryParamsMulti`): parameters are parted by `&`, name and
/// value by the first `=`, and `%XX` is decoded in both. A `+` is a plus sign, and a `%` that no two digits follow is itself.
enum QueryParameter {
    /// The decoded value of the first parameter whose decoded name this is; nil = there is none.
    static func value(of name: [UInt8], in query: UnsafeRawBufferPointer) -> [UInt8]? {
        var start = 0
        while start < query.count {
            let rest = unsafe query[start...]
            let end = unsafe rest.firstIndex(of: UInt8(ascii: "&")) ?? query.count
            let parameter = unsafe query[start..<end]
            let equals = unsafe parameter.firstIndex(of: UInt8(ascii: "="))
            if unsafe decoded(query[start..<(equals ?? end)]) == name {
                guard let equals else { return [] }
                return unsafe decoded(query[(equals + 1)..<end])
            }
            start = end + 1
        }
        return nil
    }

    private static func decoded(_ text: Slice<UnsafeRawBufferPointer>) -> [UInt8] {
        var bytes: [UInt8] = []
        unsafe bytes.reserveCapacity(text.count)
        var at = unsafe text.startIndex
        while unsafe at < text.endIndex {
            if unsafe text[at] == UInt8(ascii: "%") && at + 2 < text.endIndex, let high = unsafe digit(text[at + 1]),
                let low = unsafe digit(text[at + 2])
            {
                bytes.append(high << 4 | low)
                at += 3
            } else {
                unsafe bytes.append(text[at])
                at += 1
            }
        }
        return bytes
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
