internal import Matching

/// A condition on one span. A comparison with a tag that the span does not have is false, `!=` among them, as in TraceQL.
indirect enum SpanCondition: Sendable {
    case constant(Bool)
    case all([SpanCondition])
    case any([SpanCondition])
    case compare(SpanField, SpanComparison, SpanValue)
    /// An expression that the whole text matches.
    case match(SpanField, TextPattern, isWanted: Bool)
    case exists(SpanField, Bool)
}

/// Which traces are wanted: those in which some span meets each of the conditions, or one of them.
indirect enum SpansetCondition: Sendable {
    case span(SpanCondition)
    case all([SpansetCondition])
    case any([SpansetCondition])
}
