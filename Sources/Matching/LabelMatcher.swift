/// One condition on a label of a series (`=`, `!=`, `=~`, `!~`; prometheus.io/docs/prometheus/latest/querying/basics). A label that a
/// series does not have is the empty text. Expressions match the whole value, by RE2.
public struct LabelMatcher: Sendable {
    public enum Operation: String, Sendable, CaseIterable {
        case equal = "="
        case notEqual = "!="
        case matches = "=~"
        case matchesNot = "!~"
    }

    public let name: String
    public let operation: Operation
    /// The text or the expression.
    public let value: String
    private let pattern: TextPattern?

    /// Fails when an expression is none, with RE2's reason.
    public init(_ name: String, _ operation: Operation, _ value: String) throws(TextPattern.Problem) {
        self.name = name
        self.operation = operation
        self.value = value
        switch operation {
        case .equal, .notEqual: pattern = nil
        case .matches, .matchesNot: pattern = try TextPattern(value)
        }
    }

    /// Whether a label with this value fulfils the condition; "" = there is no such label.
    public func accepts(_ text: String) -> Bool {
        switch operation {
        case .equal: text == value
        case .notEqual: text != value
        case .matches: pattern?.matches(text) ?? false
        case .matchesNot: !(pattern?.matches(text) ?? true)
        }
    }

    /// Whether series without the label fulfil the condition.
    public var acceptsAbsent: Bool { accepts("") }
}
