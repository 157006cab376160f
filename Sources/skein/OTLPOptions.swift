internal import ArgumentParser
internal import MeshRuntime

/// Names of OTLP's metrics in the store: Prometheus' `otlp` block as options.
struct OTLPOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Names of OTLP's metrics: \(OTLPNaming.strategies.joined(separator: ", ")).", valueName: "strategy"))
    var otlpTranslationStrategy = OTLPNaming().strategy

    @Option(parsing: .singleValue, help: "An attribute of OTLP's resources that is a label of their series; may be repeated.")
    var otlpPromoteResourceAttribute: [String] = []

    @Flag(help: "All attributes of OTLP's resources are labels of their series.")
    var otlpPromoteAllResourceAttributes = false

    @Option(parsing: .singleValue, help: "But not this one; may be repeated.")
    var otlpIgnoreResourceAttribute: [String] = []

    @Flag(help: "target_info has service.name, service.namespace and service.instance.id as well.")
    var otlpKeepIdentifyingResourceAttributes = false

    @Flag(help: "OTLP's histograms become native histograms with custom buckets.")
    var otlpConvertHistogramsToNhcb = false

    @Flag(help: "Name, version, schema URL and attributes of OTLP's scopes are labels of their series.")
    var otlpPromoteScopeMetadata = false

    var naming: OTLPNaming {
        var naming = OTLPNaming()
        naming.strategy = otlpTranslationStrategy
        naming.promoted = otlpPromoteResourceAttribute
        naming.promotesAll = otlpPromoteAllResourceAttributes
        naming.ignored = otlpIgnoreResourceAttribute
        naming.keepsIdentifying = otlpKeepIdentifyingResourceAttributes
        naming.convertsHistograms = otlpConvertHistogramsToNhcb
        naming.promotesScope = otlpPromoteScopeMetadata
        return naming
    }

    func validate() throws {
        if let problem = naming.problem { throw ValidationError(problem) }
    }
}
