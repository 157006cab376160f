internal import TelemetryModel

/// What of a span, or of its trace, a search can ask for.
enum SpanField: Hashable, Sendable {
    case name, service, kind, status, statusMessage
    /// Of the span and of the whole trace, nanoseconds.
    case duration, traceDuration
    /// The name and the service of the trace's root span.
    case rootName, rootService
    /// The span has no parent.
    case isRoot
    /// A tag by its key. A stored span does not say which of its tags were a resource's.
    case tag(String)

    /// Names of spans and services are stored in lower case.
    var isLowercased: Bool {
        switch self {
        case .name, .service, .rootName, .rootService: true
        default: false
        }
    }
}

/// What a field is compared with.
enum SpanValue: Hashable, Sendable {
    case text(String)
    case number(Double)
    case duration(nanoseconds: Double)
    case boolean(Bool)
    case status(SpanStatus)
    case kind(SpanKind)
}

enum SpanStatus: String, Sendable, CaseIterable {
    case unset, ok, error
}

enum SpanComparison: String, Sendable, CaseIterable {
    case equal = "="
    case notEqual = "!="
    case matches = "=~"
    case matchesNot = "!~"
    case greater = ">"
    case greaterOrEqual = ">="
    case less = "<"
    case lessOrEqual = "<="

    func holds<Value: Comparable>(_ left: Value, _ right: Value) -> Bool {
        switch self {
        case .equal: left == right
        case .notEqual: left != right
        case .greater: left > right
        case .greaterOrEqual: left >= right
        case .less: left < right
        case .lessOrEqual: left <= right
        case .matches, .matchesNot: false
        }
    }
}
