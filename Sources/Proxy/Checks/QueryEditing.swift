internal import HTTP
internal import Policy
internal import Primitives

/// Parameters of a request's query that an authorizer sets or removes. Others keep their place and their form.
enum QueryEditing {
    /// A parameter that is set stands where the first of its name stood, or behind all others.
    static func apply(_ answer: borrowing CheckAnswer, _ edit: CheckAnswer.Edit, to request: inout Request) {
        guard request.target.form == .origin else { return }
        var query = ByteBuffer()
        var isSet = edit.action == .removeParameter
        let name = answer.name(of: edit)
        let old = request.head.bytes(request.target.query)
        var start = min(1, old.count)
        while start < old.count {
            let end = old.index(of: UInt8(ascii: "&"), from: start)
            let part = old[start..<end]
            start = end + 1
            guard part.prefix(part.index(of: UInt8(ascii: "="), from: 0)) == name else {
                append(part, to: &query)
                continue
            }
            if isSet { continue }
            isSet = true
            append(name, answer.value(of: edit), to: &query)
        }
        if !isSet { append(name, answer.value(of: edit), to: &query) }
        setQuery(query, of: &request)
    }

    /// The first byte of a query is its question mark.
    private static func separate(_ query: inout ByteBuffer) { query.append(byte: query.isEmpty ? UInt8(ascii: "?") : UInt8(ascii: "&")) }

    private static func append(_ part: LentBytes, to query: inout ByteBuffer) {
        separate(&query)
        unsafe query.append(part.buffer)
    }

    /// As the authorizer writes it; what cannot stand in a parameter is encoded (RFC 3986 3.4).
    private static func append(_ name: LentBytes, _ value: LentBytes, to query: inout ByteBuffer) {
        separate(&query)
        encodeParameter(name, to: &query)
        query.append("=")
        encodeParameter(value, to: &query)
    }

    private static func encodeParameter(_ text: LentBytes, to query: inout ByteBuffer) {
        for index in 0..<text.count {
            let byte = text[index]
            switch byte {
            case 0...0x20, 0x7F..., UInt8(ascii: "#"), UInt8(ascii: "&"), UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"):
                query.append("%")
                query.append(byte: ASCII.upperHexDigit(byte >> 4))
                query.append(byte: ASCII.upperHexDigit(byte & 15))
            default: query.append(byte: byte)
            }
        }
    }

    private static func setQuery(_ query: borrowing ByteBuffer, of request: inout Request) {
        let path = request.target.path
        var text = ByteBuffer()
        text.append(request.head.bytes(path))
        text.append(contentsOf: query)
        let place = request.head.write { $0.append(contentsOf: text) }
        request.target.path = place.lowerBound..<place.lowerBound + path.count
        request.target.query = request.target.path.upperBound..<place.upperBound
        request.head.sentTarget = place
    }
}
