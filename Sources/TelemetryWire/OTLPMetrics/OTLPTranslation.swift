/// How OTLP's metrics become Prometheus' series: the `otlp` block of Prometheus' configuration, with its defaults
/// (prometheus.io/docs/prometheus/latest/configuration, "otlp").
public struct OTLPTranslation: Hashable, Sendable {
    /// What becomes of names (`translation_strategy`). Raw values are Prometheus' words.
    public enum Strategy: String, Sendable, CaseIterable {
        case underscoreEscapingWithSuffixes = "UnderscoreEscapingWithSuffixes"
        case underscoreEscapingWithoutSuffixes = "UnderscoreEscapingWithoutSuffixes"
        case noUTF8EscapingWithSuffixes = "NoUTF8EscapingWithSuffixes"
        case noTranslation = "NoTranslation"

        /// Characters that older versions of Prometheus do not know become underscores.
        var escapes: Bool { self == .underscoreEscapingWithSuffixes || self == .underscoreEscapingWithoutSuffixes }
        /// Unit and kind are added to a metric's name.
        var addsSuffixes: Bool { self == .underscoreEscapingWithSuffixes || self == .noUTF8EscapingWithSuffixes }
    }

    /// Attributes of the resource that every series of it has as labels.
    public enum Promotion: Hashable, Sendable {
        /// `promote_resource_attributes`
        case only(Set<String>)
        /// `promote_all_resource_attributes` with `ignore_resource_attributes`
        case allBut(Set<String>)

        func includes(_ attribute: String) -> Bool {
            switch self {
            case .only(let names): names.contains(attribute)
            case .allBut(let names): !names.contains(attribute)
            }
        }
    }

    public var strategy = Strategy.underscoreEscapingWithSuffixes
    public var promotion = Promotion.only([])
    /// `target_info` has the attributes that `job` and `instance` are made of as well (`keep_identifying_resource_attributes`).
    public var keepsIdentifyingAttributes = false
    /// Histograms become native ones with custom bounds (`convert_histograms_to_nhcb`).
    public var convertsHistograms = false
    /// Series have the labels `otel_scope_name`, `otel_scope_version`, `otel_scope_schema_url` and one for each attribute of their scope
    /// (`promote_scope_metadata`).
    public var promotesScope = false

    public init() {}
}
