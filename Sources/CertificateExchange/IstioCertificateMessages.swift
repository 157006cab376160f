/// The messages of Istio's certificate service, in protobuf's encoding (istio.io/api security/v1alpha1/ca.proto): the request has `csr` = 1
/// (string), `validity_duration` = 3 (int64, seconds) and `metadata` = 4, which is passed over; the answer has `cert_chain` = 1, repeated.
enum IstioCertificateMessages {
    struct Request: Hashable {
        var csr: [UInt8] = []
        var seconds: Int64 = 0
    }

    /// Nil = not such a message.
    static func request(_ bytes: [UInt8]) -> Request? {
        var request = Request()
        var rest = bytes[...]
        while !rest.isEmpty {
            guard let key = varint(&rest), key >> 3 > 0 else { return nil }
            switch key & 7 {
            case 0:
                guard let value = varint(&rest) else { return nil }
                if key >> 3 == 3 { request.seconds = Int64(bitPattern: value) }
            case 2:
                guard let length = varint(&rest), length <= UInt64(rest.count) else { return nil }
                let field = rest.prefix(Int(length))
                rest = rest.dropFirst(Int(length))
                if key >> 3 == 1 { request.csr = Array(field) }
            case 1: if !drop(8, &rest) { return nil }
            case 5: if !drop(4, &rest) { return nil }
            default: return nil
            }
        }
        return request
    }

    static func response(_ chain: [[UInt8]]) -> [UInt8] {
        chain.flatMap { pem in [0x0A] + varint(UInt64(pem.count)) + pem }
    }

    private static func drop(_ count: Int, _ rest: inout ArraySlice<UInt8>) -> Bool {
        guard rest.count >= count else { return false }
        rest = rest.dropFirst(count)
        return true
    }

    /// Ten bytes at most.
    private static func varint(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for place in 0..<10 {
            guard let byte = rest.popFirst() else { return nil }
            if place == 9, byte > 1 { return nil }
            value |= UInt64(byte & 0x7F) << UInt64(7 * place)
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}
