internal import HTTP
internal import Primitives

/// The tokens that a request has at the places of some rules, one after the other.
///
/// A place may hold several: each line of a header, each parameter and each cookie of its name.
struct TokenWalk {
    private let places: TableRange
    private var place: Int
    /// Of a header: the next field. Of a parameter: where to go on in the query.
    private var field = 0
    /// Of a cookie: where to go on in the field.
    private var offset = 0

    init(_ group: TokenGroupEntry) {
        places = group.places
        place = group.places.indices.lowerBound
    }

    /// The next token; nil = there is none left.
    mutating func next(_ view: TokenView, _ head: borrowing MessageHead, query: LentBytes) -> LentBytes? {
        while place < places.indices.upperBound {
            let entry = view.rows.places[place]
            let found =
                switch entry.kind {
                case .header: nextHeader(entry, view, head)
                case .parameter: nextParameter(view.text(entry.name), query)
                case .cookie: nextCookie(view.text(entry.name), head)
                }
            if let found { return found }
            place += 1
            field = 0
            offset = 0
        }
        return nil
    }

    private mutating func nextHeader(_ entry: TokenPlaceEntry, _ view: TokenView, _ head: borrowing MessageHead) -> LentBytes? {
        let name = view.text(entry.name)
        while field < head.fieldCount {
            let index = field
            field += 1
            guard head.isNamed(name, at: index) else { continue }
            let value = head.bytes(at: index).trimmed
            if let token = Self.token(value, behind: view.text(entry.prefix), entry.ignoresCase) { return token }
        }
        return nil
    }

    /// The token in a header's value; nil = it has none.
    static func token(_ value: LentBytes, behind prefix: LentBytes, _ ignoresCase: Bool) -> LentBytes? {
        guard value.count > prefix.count else { return nil }
        let start = value.prefix(prefix.count)
        guard ignoresCase ? start.equalsIgnoringCase(prefix) : start == prefix else { return nil }
        let token = unsafe LentBytes(ASCII.trim(value.from(prefix.count).buffer))
        return token.isEmpty ? nil : token
    }

    private mutating func nextParameter(_ name: LentBytes, _ query: LentBytes) -> LentBytes? {
        // Behind the question mark.
        var start = max(1, field)
        while start < query.count {
            let end = query.index(of: UInt8(ascii: "&"), from: start)
            let part = query[start..<end]
            start = end + 1
            if let value = Self.value(of: name, in: part) {
                field = start
                return value
            }
        }
        return nil
    }

    private mutating func nextCookie(_ name: LentBytes, _ head: borrowing MessageHead) -> LentBytes? {
        while field < head.fieldCount {
            guard head.isNamed("cookie", at: field) else {
                field += 1
                continue
            }
            let line = head.bytes(at: field)
            while offset < line.count {
                let end = line.index(of: UInt8(ascii: ";"), from: offset)
                let pair = line[offset..<end].trimmed
                offset = end + 1
                if let value = Self.value(of: name, in: pair) { return Self.unquoted(value) }
            }
            field += 1
            offset = 0
        }
        return nil
    }

    /// What stands behind `NAME=`; nil = the pair has another name, or nothing.
    static func value(of name: LentBytes, in pair: LentBytes) -> LentBytes? {
        guard pair.count > name.count + 1, pair[name.count] == UInt8(ascii: "="), pair.prefix(name.count) == name else { return nil }
        return pair.from(name.count + 1)
    }

    /// RFC 6265 4.1.1: a cookie's value may stand in quotes.
    private static func unquoted(_ value: LentBytes) -> LentBytes {
        let quote = UInt8(ascii: "\"")
        guard value.count >= 2, value[0] == quote, value[value.count - 1] == quote else { return value }
        return value[1..<value.count - 1]
    }
}
