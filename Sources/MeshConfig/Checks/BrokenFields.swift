internal import Primitives

/// Fields that could not be read. They count as absent, so a rule that then looks broken may only be what follows: `wieght: 90` leaves the
/// weights adding up to 0, and what helps is to hear of `wieght`.
struct BrokenFields {
    private struct Field {
        /// The mapping that has it.
        var container: String
        var name: String
        /// Not one of the mapping's fields: what it was meant for is missing.
        var isUnknown: Bool

        /// The list that the mapping is an element of, if any.
        var list: String? {
            guard container.hasSuffix("]"), let bracket = container.lastIndex(of: "[") else { return nil }
            return String(container[..<bracket])
        }
    }

    private let fields: [Field]

    init(_ diagnostics: [Diagnostic]) {
        let codes = [DiagnosticCode.unknownField.rawValue, DiagnosticCode.wrongType.rawValue]
        fields = diagnostics.filter { codes.contains($0.code) }.compactMap { diagnostic in
            guard let dot = diagnostic.field.lastIndex(of: ".") else { return nil }
            return Field(
                container: String(diagnostic.field[..<dot]), name: String(diagnostic.field[diagnostic.field.index(after: dot)...]),
                isUnknown: diagnostic.code == DiagnosticCode.unknownField.rawValue)
        }
    }

    /// Whether an error is most likely due to one of them: it is about the field itself or one that it may have been meant for, about the
    /// list it is in, or about a mapping that seems to lack something.
    func explains(_ diagnostic: Diagnostic) -> Bool {
        guard diagnostic.severity == .error else { return false }
        let about = diagnostic.field
        return fields.contains { field in
            if about == field.list || field.isUnknown && about == field.container { return true }
            guard about.hasPrefix(field.container + ".") else { return false }
            let own = String(about.dropFirst(field.container.count + 1))
            return own == field.name || field.isUnknown && EditDistance.nearest(to: field.name, among: [own]) != nil
        }
    }
}
