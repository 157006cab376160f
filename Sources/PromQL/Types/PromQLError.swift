/// Why there is no result. `message` is Prometheus' text.
public enum PromQLError: Error, Hashable, Sendable {
    /// Not the language, at a place.
    case parse(ParseProblem)
    /// Arguments of the request, such as too many points.
    case badRequest(String)
    /// Found while evaluating.
    case execution(String)
    case tooManySamples
    case timedOut
    case canceled
    /// The source's own words.
    case source(String)

    /// The `errorType` of Prometheus' API.
    public enum Kind: String, Sendable {
        case badData = "bad_data"
        case execution
        case timeout
        case canceled
        case `internal`
    }

    public var kind: Kind {
        switch self {
        case .parse, .badRequest: .badData
        case .execution, .tooManySamples: .execution
        case .timedOut: .timeout
        case .canceled: .canceled
        case .source: .internal
        }
    }

    public var message: String {
        switch self {
        case .parse(let problem): problem.message
        case .badRequest(let text), .execution(let text): text
        case .tooManySamples: "query processing would load too many samples into memory in query execution"
        case .timedOut: "query timed out in expression evaluation"
        case .canceled: "query was canceled in expression evaluation"
        case .source(let text): "expanding series: \(text)"
        }
    }

    static let sameLabels = PromQLError.execution("vector cannot contain metrics with the same labelset")
}

/// A place in a query's text at which it is not the language.
public struct ParseProblem: Error, Hashable, Sendable {
    public var range: SourceRange
    public var reason: String
    /// `line:column` from 1.
    public var position: String

    init(_ range: SourceRange, _ reason: String, in query: String) {
        self.range = range
        self.reason = reason
        position = range.position(in: query)
    }

    public var message: String { "\(position): parse error: \(reason)" }
}
