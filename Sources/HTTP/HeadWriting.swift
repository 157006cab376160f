public import Primitives

/// Heads as HTTP/1.1 writes them (RFC 9112 2.1, 5). Framing is the connection's to say, so no field here is about it.
extension MessageHead {
    /// `METHOD target HTTP/1.1`, `Host`, and the fields; without the empty line.
    func writeRequest(to output: inout ByteBuffer) {
        unsafe output.append(method)
        output.append(byte: 32)
        unsafe output.append(text(sentTarget))
        output.append(" HTTP/1.1\r\nHost: ")
        unsafe output.append(text(sentAuthority))
        output.append("\r\n")
        writeFields(to: &output)
    }

    /// `HTTP/1.1 status reason` and the fields; without the empty line.
    func writeResponse(to output: inout ByteBuffer) {
        output.append("HTTP/1.1 ")
        output.append(decimal: UInt64(statusCode))
        output.append(byte: 32)
        if reasonCount > 0 { unsafe output.append(reason) } else { output.append(StatusText.reason(statusCode)) }
        output.append("\r\n")
        writeFields(to: &output)
    }

    /// Lines that stand next to each other, in the form in which we write them, go in one piece.
    private func writeFields(to output: inout ByteBuffer) {
        var start = 0
        var end = 0
        var index = 0
        let count = fieldCount
        while index < count {
            let field = unsafe table[index]
            index &+= 1
            let nameStart = Int(field.nameStart)
            let isNext = nameStart == end && field.isCanonical
            if !isNext {
                if end > start { unsafe output.append(slice(start, end &- start)) }
                start = nameStart
            }
            // Places in the head's text: none of these overflows.
            end = Int(field.valueStart) &+ Int(field.valueCount) &+ 2
            if field.isCanonical { continue }
            write(apart: field, to: &output)
            start = 0
            end = 0
        }
        if end > start { unsafe output.append(slice(start, end &- start)) }
    }

    /// A field that came in another form.
    private func write(apart field: HeaderField, to output: inout ByteBuffer) {
        unsafe output.append(slice(Int(field.nameStart), Int(field.nameCount)))
        output.append(": ")
        unsafe output.append(slice(Int(field.valueStart), Int(field.valueCount)))
        output.append("\r\n")
    }
}

/// Heads as HTTP/2 sends them: pseudo-header fields first (RFC 9113 8.3), names in lower case.
extension HTTP2FieldList {
    mutating func add(request head: borrowing MessageHead, isHTTPS: Bool) {
        unsafe add(":method", head.method)
        add(":scheme", isHTTPS ? "https" : "http")
        unsafe add(":authority", head.text(head.sentAuthority))
        unsafe add(":path", head.text(head.sentTarget))
        add(fieldsOf: head)
    }

    mutating func add(response head: borrowing MessageHead) {
        add(":status", decimal: UInt64(head.statusCode))
        add(fieldsOf: head)
    }

    private mutating func add(fieldsOf head: borrowing MessageHead) {
        for index in 0..<head.fieldCount {
            let field = unsafe head.field(index)
            if field.name.isOfHTTP1 { continue }
            if field.isLowercase {
                unsafe add(lowercase: head.name(at: index), head.value(at: index))
            } else {
                unsafe add(head.name(at: index), head.value(at: index))
            }
        }
    }
}

extension MessageHead {
    /// One field as a line; in one piece when it already has the form in which we write it.
    public func write(line index: Int, to output: inout ByteBuffer) {
        if unsafe field(index).isCanonical { return unsafe output.append(line(at: index)) }
        unsafe output.append(name(at: index))
        output.append(": ")
        unsafe output.append(value(at: index))
        output.append("\r\n")
    }
}
