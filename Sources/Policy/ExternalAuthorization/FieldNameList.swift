internal import Primitives

/// Names of header fields as a provider lists them: `abc`, `abc*` and `*abc`, in any case (Istio: as the values of AuthorizationPolicies).
/// A value; a look-up costs the length of the list.
struct FieldNameList: Sendable {
    private enum Kind { case exact, prefix, suffix }

    private var patterns: [(kind: Kind, text: [UInt8])] = []

    init(_ list: [String]) {
        for text in list {
            let name = text.lowercased()
            if name.hasSuffix("*") {
                patterns.append((.prefix, Array(name.utf8.dropLast())))
            } else if name.hasPrefix("*") {
                patterns.append((.suffix, Array(name.utf8.dropFirst())))
            } else {
                patterns.append((.exact, Array(name.utf8)))
            }
        }
    }

    var isEmpty: Bool { patterns.isEmpty }

    func contains(_ name: LentBytes) -> Bool {
        patterns.contains { kind, text in
            guard name.count >= text.count, kind != .exact || name.count == text.count else { return false }
            let part = kind == .suffix ? name.suffix(text.count) : name.prefix(text.count)
            for index in 0..<text.count where ASCII.lower(part[index]) != text[index] { return false }
            return true
        }
    }
}
