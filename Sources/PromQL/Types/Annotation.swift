internal import Primitives

/// A warning or an info that comes with a result (util/annotations). Infos are about the data, warnings about a result that may be wrong.
public struct Annotation: Hashable, Sendable {
    public enum Level: Hashable, Sendable { case info, warning }

    public var level: Level
    /// Without its level and place.
    public var text: String
    /// What it is about.
    public var range: SourceRange

    /// As Prometheus' API prints it: `PromQL info: … (1:5)`.
    public func message(in query: String) -> String { "\(message) (\(range.position(in: query)))" }

    /// Without the place.
    public var message: String { (level == .info ? "PromQL info: " : "PromQL warning: ") + text }
}

extension Annotation {
    private static func info(_ text: String, _ range: SourceRange) -> Annotation { Annotation(level: .info, text: text, range: range) }
    private static func warning(_ text: String, _ range: SourceRange) -> Annotation {
        Annotation(level: .warning, text: text, range: range)
    }
    private static func about(_ name: String) -> String { name.isEmpty ? "" : " for metric name \(GoText.quoted(name))" }

    static func invalidQuantile(_ quantile: Double, _ range: SourceRange) -> Annotation {
        warning("quantile value should be between 0 and 1, got \(GoFloat.general(quantile))", range)
    }

    static func badBucketLabel(_ value: String, _ name: String, _ range: SourceRange) -> Annotation {
        warning("bucket label \"le\" is missing or has a malformed value of \(GoText.quoted(value))" + about(name), range)
    }

    static func mixedFloatsAndHistograms(_ name: String, _ range: SourceRange) -> Annotation {
        warning("encountered a mix of histograms and floats for metric name \(GoText.quoted(name))", range)
    }

    static func mixedInAggregation(_ range: SourceRange) -> Annotation {
        warning("encountered a mix of histograms and floats for aggregation", range)
    }

    static func mixedClassicAndNative(_ name: String, _ range: SourceRange) -> Annotation {
        warning("vector contains a mix of classic and native histograms" + about(name), range)
    }

    static func notACounter(_ name: String, _ range: SourceRange) -> Annotation {
        warning("this native histogram metric is not a counter: \(GoText.quoted(name))", range)
    }

    static func notAGauge(_ name: String, _ range: SourceRange) -> Annotation {
        warning("this native histogram metric is not a gauge: \(GoText.quoted(name))", range)
    }

    static func mixedSchemas(_ name: String, _ range: SourceRange) -> Annotation {
        let mix = "a mix of histograms with exponential and custom buckets schemas"
        return warning("vector contains \(mix) for metric name \(GoText.quoted(name))", range)
    }

    static func incompatibleLayout(_ operation: String, _ range: SourceRange) -> Annotation {
        warning("incompatible bucket layout encountered for binary operator \(operation)", range)
    }

    /// `operation`: addition, subtraction, aggregation.
    static func counterResetCollision(_ operation: String, _ range: SourceRange) -> Annotation {
        warning("conflicting counter resets during histogram \(operation)", range)
    }

    static func boundsReconciled(_ operation: String, _ range: SourceRange) -> Annotation {
        info("mismatched custom buckets were reconciled during \(operation)", range)
    }

    static func possibleNonCounter(_ name: String, _ range: SourceRange) -> Annotation {
        info("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \(GoText.quoted(name))", range)
    }

    static func incompatibleTypes(_ left: String, _ operation: String, _ right: String, _ range: SourceRange) -> Annotation {
        let place = "incompatible sample types encountered for binary operator \(GoText.quoted(operation))"
        return info("\(place): \(left) \(operation) \(right)", range)
    }

    static func histogramIgnored(by aggregation: String, _ range: SourceRange) -> Annotation {
        info("ignored histogram in \(aggregation) aggregation", range)
    }

    static func histogramsIgnoredInRange(_ name: String, _ range: SourceRange) -> Annotation {
        info("ignored histograms in a range containing both floats and histograms for metric name \(GoText.quoted(name))", range)
    }

    static func quantileOfNaNs(_ name: String, _ range: SourceRange) -> Annotation {
        info("input to histogram_quantile has NaN observations, result is NaN" + about(name), range)
    }

    static func quantileSkewedByNaNs(_ name: String, _ range: SourceRange) -> Annotation {
        info("input to histogram_quantile has NaN observations, result is skewed higher" + about(name), range)
    }

    static func fractionWithoutNaNs(_ name: String, _ range: SourceRange) -> Annotation {
        info("input to histogram_fraction has NaN observations, which are excluded from all fractions" + about(name), range)
    }

    /// `function`: around a range selector; nil for an instant selector.
    static func approximated(_ approximation: SeriesApproximation, by function: RangeFunction?, _ range: SourceRange) -> Annotation {
        let window = PromDuration.text(milliseconds: approximation.window)
        let bound =
            switch function {
            case nil: "a value may be the one of up to \(window) before"
            case .rate, .increase:
                "an increase within a window is taken as even, so each end of a range may be off by what grew in \(window)"
            case .avgOverTime, .countOverTime, .maxOverTime, .minOverTime, .sumOverTime:
                "each end of a range may be off by the samples of \(window)"
            default: "only the last value of each window of \(window) is looked at, and both values of a counter's reset"
            }
        return info("samples before \(Calendar(seconds: approximation.end / 1000).text) were read as windows of \(window): \(bound)", range)
    }

    static func forcedMonotonicity(_ name: String, _ range: SourceRange) -> Annotation {
        let page = "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile"
        return info("input to histogram_quantile needed to be fixed for monotonicity (see \(page))" + about(name), range)
    }
}
