/// Every code this layer reports. Numbers are stable; a retired one is not reused.
///
/// `IST` codes are `istioctl analyze`'s for the same finding, so that people find Istio's explanation of it.
enum DiagnosticCode: String, CaseIterable {
    // Istio's.
    /// A deprecated field: honoured, with its modern spelling.
    case deprecated = "IST0002"
    /// A host, subset or provider that does not exist.
    case referenceNotFound = "IST0101"
    /// A value breaks a rule of the resource's schema.
    case schema = "IST0106"
    case conflictingHosts = "IST0109"
    case conflictingSidecarSelectors = "IST0110"
    case multipleDefaultSidecars = "IST0111"
    case destinationPortRequired = "IST0112"
    /// A port without a protocol.
    case portWithoutProtocol = "IST0118"
    /// A selector that selects nobody.
    case noWorkloads = "IST0127"
    case unreachableRule = "IST0130"
    case ineffectiveMatch = "IST0131"
    case hostNotInGateway = "IST0132"
    /// A value is legal but probably not what is meant.
    case schemaWarning = "IST0133"
    case addressesRequired = "IST0134"
    case conflictingGateways = "IST0145"
    case conflictingTelemetrySelectors = "IST0159"
    case multipleDefaultTelemetries = "IST0160"
    case subsetSelectsNothing = "IST0173"
    case unknownRuleHost = "IST0174"

    // Ours: reading.
    case unreadable = "SKN0001"
    case syntax = "SKN0002"
    case duplicateKey = "SKN0003"
    case limitExceeded = "SKN0004"
    case notAResource = "SKN0005"
    case ignoredKind = "SKN0006"
    case unknownKind = "SKN0007"
    case unknownVersion = "SKN0008"
    case duplicateResource = "SKN0009"
    /// A directory that holds nothing to read, or a subdirectory that is not read.
    case nothingRead = "SKN0010"
    /// Several rules speak for one host; only one is used.
    case conflictingRules = "SKN0011"

    // Ours: fields.
    case unknownField = "SKN0101"
    case wrongType = "SKN0102"
    case unknownEnumValue = "SKN0103"
    case outOfRange = "SKN0104"
    case badDuration = "SKN0105"
    case oneOf = "SKN0106"

    /// Accepted, not yet in effect.
    case notYetInEffect = "SKN0201"

    // Ours: analysis. SKN0301...SKN0349 belong to Routing.
    case nothingDeclared = "SKN0350"
    case sharedGatewayHost = "SKN0351"
    case conflictingSubsets = "SKN0352"
    case delegateIgnored = "SKN0353"
    case analysisCutShort = "SKN0354"
    case perTryTimeoutIgnored = "SKN0355"
    case retriesDoNotFit = "SKN0356"
    case retriesWithoutAttempts = "SKN0357"
    case delayOutsideTimeout = "SKN0358"
    case retriesAfterAbort = "SKN0359"
    case mirrorToItself = "SKN0360"
    case mirrorCircle = "SKN0361"
    case weightsNot100 = "SKN0362"
    case weightMissing = "SKN0363"
    case weightZero = "SKN0364"
    case portNameContradicts = "SKN0365"
    case neverEjects = "SKN0366"
    case hashNeedsHTTP = "SKN0367"
    case faultNeverHappens = "SKN0368"
    case mutualTLSMissing = "SKN0369"
    case mutualTLSRefused = "SKN0370"
    case mutualTLSLabelMissing = "SKN0371"
    case ruleNeverMatches = "SKN0372"
    case policyShadowed = "SKN0373"
    case conflictingMeshOutlierDetections = "SKN0374"
    case judgesNothing = "SKN0375"
}
