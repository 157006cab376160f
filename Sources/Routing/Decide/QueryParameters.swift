internal import Primitives

extension TableView {
    /// The value of the first parameter of that name in any case, as sent; nil = there is none with a value. `query`: with its question
    /// mark.
    func parameter(_ name: LentBytes, _ query: LentBytes) -> LentBytes? {
        var start = 1
        while start < query.count {
            let end = query.index(of: UInt8(ascii: "&"), from: start)
            let field = query[start..<end]
            if field.count > name.count, field[name.count] == UInt8(ascii: "="), field.prefix(name.count).equalsIgnoringCase(name) {
                return field.from(name.count + 1)
            }
            start = end + 1
        }
        return nil
    }
}
