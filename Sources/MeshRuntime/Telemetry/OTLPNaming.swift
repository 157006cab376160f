internal import TelemetryWire

/// What OTLP's metrics are called in the store: the options of Prometheus' `otlp` block, with its defaults.
public struct OTLPNaming: Sendable {
    /// One of `strategies`.
    public var strategy = OTLPTranslation.Strategy.underscoreEscapingWithSuffixes.rawValue
    /// Attributes of the resource that are labels of its series.
    public var promoted: [String] = []
    /// All of them are, but for `ignored`.
    public var promotesAll = false
    public var ignored: [String] = []
    public var keepsIdentifying = false
    public var convertsHistograms = false
    public var promotesScope = false

    public init() {}

    /// What `translation_strategy` takes.
    public static let strategies = OTLPTranslation.Strategy.allCases.map(\.rawValue)
    /// Attributes named by `promoted` or `ignored`.
    public static let attributesMax = OTLPMetricsDecoder.attributesMax

    /// What is wrong, in words of the command line; nil = nothing.
    public var problem: String? {
        if !Self.strategies.contains(strategy) {
            return "--otlp-translation-strategy \(strategy): expected one of \(Self.strategies.joined(separator: ", "))"
        }
        if promotesAll, !promoted.isEmpty {
            return "--otlp-promote-resource-attribute: all are promoted already by --otlp-promote-all-resource-attributes"
        }
        if !promotesAll, !ignored.isEmpty {
            return "--otlp-ignore-resource-attribute needs --otlp-promote-all-resource-attributes"
        }
        if promoted.count > Self.attributesMax || ignored.count > Self.attributesMax {
            return "attributes of OTLP's resources are named \(Self.attributesMax) times at most"
        }
        if promoted.contains("") || ignored.contains("") { return "an attribute of OTLP's resources has an empty name" }
        return nil
    }

    var translation: OTLPTranslation {
        var made = OTLPTranslation()
        made.strategy = OTLPTranslation.Strategy(rawValue: strategy) ?? made.strategy
        made.promotion = promotesAll ? .allBut(Set(ignored)) : .only(Set(promoted))
        made.keepsIdentifyingAttributes = keepsIdentifying
        made.convertsHistograms = convertsHistograms
        made.promotesScope = promotesScope
        return made
    }
}
