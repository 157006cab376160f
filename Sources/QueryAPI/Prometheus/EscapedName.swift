/// Names of UTF-8 as they come in a path: `U__` and then each other character as `_hex_` and `_` as `__` (Prometheus' UTF-8 escaping,
/// "Values Encoding Escaping").
enum EscapedName {
    /// A name that is not escaped, or not rightly so, stays as it is.
    static func decode(_ name: String) -> String {
        guard name.hasPrefix("U__") else { return name }
        var text = ""
        var rest = name.dropFirst(3)
        while let next = rest.popFirst() {
            guard next == "_" else {
                text.append(next)
                continue
            }
            if rest.first == "_" {
                rest.removeFirst()
                text.append("_")
                continue
            }
            guard let end = rest.firstIndex(of: "_"), let code = UInt32(rest[..<end], radix: 16), let scalar = Unicode.Scalar(code) else {
                return name
            }
            text.unicodeScalars.append(scalar)
            rest = rest[rest.index(after: end)...]
        }
        return text
    }
}
