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
    case unreachableRule = "IST0130"
    case ineffectiveMatch = "IST0131"
    /// A value is legal but probably not what is meant.
    case schemaWarning = "IST0133"
    case addressesRequired = "IST0134"

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
}
