/// What a code means, for `skein analyze --list` and docs/analysis.md. One row for every code that any layer reports; a test holds the
/// sources to it.
public struct AnalysisCode: Sendable {
    public var code: String
    /// Istio's name of the message where the code is Istio's.
    public var name: String
    /// Of most findings with the code; a finding may be milder where less is known.
    public var severity: Diagnostic.Severity
    /// What the finding says, in one sentence.
    public var meaning: String
    /// What to do, where the finding itself says nothing more exact.
    public var hint: String

    init(_ code: String, _ name: String, _ severity: Diagnostic.Severity, _ meaning: String, _ hint: String) {
        self.code = code
        self.name = name
        self.severity = severity
        self.meaning = meaning
        self.hint = hint
    }

    /// error, warning or info.
    public var level: String { severity == .notice ? "info" : severity.rawValue }

    public static func named(_ code: String) -> AnalysisCode? { byCode[code] }

    static func hint(for code: String) -> String { byCode[code]?.hint ?? "" }

    private static let byCode = Dictionary(all.map { ($0.code, $0) }, uniquingKeysWith: { first, _ in first })

    /// In the order of the codes.
    public static let all: [AnalysisCode] = istio + reading + fields + compiling + analysis

    private static let istio = [
        AnalysisCode(
            "IST0002", "Deprecated", .warning, "A deprecated field or value; it is honoured.",
            "Run skein analyze --fix, or write the modern form."),
        AnalysisCode(
            "IST0101", "ReferencedResourceNotFound", .warning,
            "A host, subset, port, Gateway, delegate or provider that nothing defines, or that is not shown to the namespace.",
            "Define it, load the file that does as well, or correct the name."),
        AnalysisCode(
            "IST0106", "SchemaValidationError", .error, "A value breaks a rule of the resource.", "Change the value as the message says."),
        AnalysisCode(
            "IST0109", "ConflictingMeshGatewayVirtualServiceHosts", .warning,
            "Two VirtualServices route one host of the mesh; only the first loaded is used.", "Merge the two into one resource."),
        AnalysisCode(
            "IST0110", "ConflictingSidecarWorkloadSelectors", .error, "Two Sidecars select one workload.", "Let one Sidecar select it."),
        AnalysisCode(
            "IST0111", "MultipleSidecarsWithoutWorkloadSelectors", .error, "A namespace has two Sidecars without workloadSelector.",
            "Give one of them a workloadSelector, or merge the two."),
        AnalysisCode(
            "IST0112", "VirtualServiceDestinationPortSelectorRequired", .warning,
            "A destination with several ports, none of which is the port of the request, and no port chosen.",
            "Write destination.port.number."),
        AnalysisCode(
            "IST0118", "PortNameIsNotUnderNamingConvention", .notice, "A port without protocol: the first bytes of each connection decide.",
            "Write protocol: HTTP, HTTP2, GRPC, TCP or TLS; a client that waits for the server to speak first waits in vain otherwise."),
        AnalysisCode(
            "IST0127", "NoMatchingWorkloadsFound", .warning, "A selector that selects no WorkloadEntry of its namespace.",
            "Correct the labels, or load the WorkloadEntries as well."),
        AnalysisCode(
            "IST0130", "VirtualServiceUnreachableRule", .warning, "A rule that no request reaches: earlier rules take all that it matches.",
            "Move it before the rule that takes its requests, narrow that one, or delete it."),
        AnalysisCode(
            "IST0131", "VirtualServiceIneffectiveMatch", .notice, "One match of a rule that never decides; the rule's others do.",
            "Delete it, or move the rule before the one that takes its requests."),
        AnalysisCode(
            "IST0132", "VirtualServiceHostNotFoundInGateway", .warning, "No host of a VirtualService is served by the Gateway it names.",
            "Add the host to the Gateway's servers, or correct it in the VirtualService."),
        AnalysisCode(
            "IST0133", "SchemaWarning", .warning, "A value is legal but probably not what is meant.",
            "Change the value as the message says."),
        AnalysisCode(
            "IST0134", "ServiceEntryAddressesRequired", .warning, "A TCP port of a service that has no address to be told apart by.",
            "List spec.addresses, or an egress listener with the port in a Sidecar."),
        AnalysisCode(
            "IST0145", "ConflictingGateways", .warning,
            "Two Gateways, of one selector or of one within the other, serve one host at one port.",
            "Merge the servers, or give the Gateways different hosts, ports or selectors."),
        AnalysisCode(
            "IST0159", "ConflictingTelemetryWorkloadSelectors", .warning,
            "Two Telemetry resources select one workload; only the first is used.",
            "Merge the two, or make their selectors exclude each other."),
        AnalysisCode(
            "IST0160", "MultipleTelemetriesWithoutWorkloadSelectors", .warning,
            "A namespace has two Telemetry resources without selector; only the first is used.", "Merge the two into one resource."),
        AnalysisCode(
            "IST0173", "DestinationRuleSubsetNotSelectPods", .warning, "A subset whose labels no endpoint of the service carries.",
            "Correct the subset's labels or the endpoints'; routes to the subset answer 503 until then."),
        AnalysisCode(
            "IST0174", "UnknownDestinationRuleHost", .warning, "A DestinationRule for a host that no service has.",
            "Correct the host, write its full name where it is in another namespace, or add a ServiceEntry."),
    ]

    private static let reading = [
        AnalysisCode("SKN0001", "Unreadable", .error, "A file or directory that cannot be read.", "Check the path and its permissions."),
        AnalysisCode("SKN0002", "Syntax", .error, "Text that is not YAML.", "Correct the line; what follows it was not read."),
        AnalysisCode("SKN0003", "DuplicateKey", .error, "A key twice in one mapping.", "Keep one of them."),
        AnalysisCode("SKN0004", "LimitExceeded", .error, "An input beyond a bound of the reader.", "Split the file."),
        AnalysisCode("SKN0005", "NotAResource", .error, "A document that is no resource.", "Give it apiVersion, kind, metadata and spec."),
        AnalysisCode(
            "SKN0006", "IgnoredKind", .notice, "A kind that is not Istio's and is skipped.",
            "Nothing to do, or describe the service by a ServiceEntry."),
        AnalysisCode("SKN0007", "UnknownKind", .error, "A kind that its API group does not have.", "Correct the kind."),
        AnalysisCode(
            "SKN0008", "UnknownVersion", .error, "An apiVersion that the kind does not have.", "Write one of those the message lists."),
        AnalysisCode("SKN0009", "DuplicateResource", .error, "Two resources of one kind, namespace and name.", "Keep one, or rename one."),
        AnalysisCode(
            "SKN0010", "NothingRead", .warning, "A directory with nothing to read, or one within it that is not read.", "Name it as well."),
        AnalysisCode(
            "SKN0011", "ConflictingRules", .warning,
            "Two DestinationRules for one host: subsets of both are used, and the first traffic policy that one of them has.",
            "Merge the two into one resource."),
    ]

    private static let fields = [
        AnalysisCode("SKN0101", "UnknownField", .error, "A field that Istio's API does not have.", "Correct its name or its indentation."),
        AnalysisCode("SKN0102", "WrongType", .error, "A value of another type than the field's.", "Write what the message asks for."),
        AnalysisCode(
            "SKN0103", "UnknownEnumValue", .error, "A name that the field does not know.", "Write one of those the message lists."),
        AnalysisCode("SKN0104", "OutOfRange", .error, "A number outside what the field accepts.", "Write one within the range."),
        AnalysisCode(
            "SKN0105", "BadDuration", .error, "A text that is no duration the field accepts.",
            "Write a number with its unit: 300ms, 1.5s, 1h2m."),
        AnalysisCode("SKN0106", "OneOf", .error, "Two fields that exclude each other.", "Keep one of them."),
        AnalysisCode(
            "SKN0201", "NotYetInEffect", .notice, "A field that is read and checked, and not acted upon yet.",
            "Do not rely on it: docs/configuration-resources.md lists what is in effect."),
        AnalysisCode(
            "SKN0202", "NotEnforced", .error,
            "Protection that a proxy beside a workload is asked for and this version does not give: tokens, filters, mutual TLS, "
                + "TLS to a destination.",
            "Remove the resource, protect the workload otherwise, or start with --allow-unenforced and know that it has no effect. "
                + "Mutual TLS is given by a process that has an identity (--identity)."),
        AnalysisCode(
            "SKN0203", "NoIdentity", .notice,
            "No identity: endpoints that take mutual TLS are spoken to in plaintext, and Gateways with ISTIO_MUTUAL take nobody.",
            "Start it with --identity DIRECTORY, or set enableAutoMtls: false if plaintext is meant."),
    ]

    private static let compiling = [
        AnalysisCode(
            "SKN0301", "InvalidRegex", .error, "A regular expression that RE2 does not accept.",
            "Write it in RE2 syntax; it has neither look-around nor back-references."),
        AnalysisCode(
            "SKN0302", "ApplicationAddress", .warning, "An ingress listener whose application has no address that can be used.",
            "Write defaultEndpoint: 127.0.0.1:PORT."),
        AnalysisCode("SKN0303", "NotAnAddress", .error, "A listener address that is no IP address.", "Write one such as 127.0.0.1."),
        AnalysisCode(
            "SKN0304", "UnknownRetryCondition", .error, "A retry condition that does not exist.", "Write one of those the message lists."),
        AnalysisCode(
            "SKN0305", "UnknownGRPCStatus", .error, "A gRPC status that does not exist.",
            "Write its name, such as UNAVAILABLE, or its number."),
        AnalysisCode(
            "SKN0306", "TooManyMirrors", .warning, "More mirrors than one route may have.",
            "Keep the first ones, or mirror at the destination."),
        AnalysisCode(
            "SKN0307", "BadRewrite", .error, "A substitution that does not fit its regular expression.",
            "Refer to groups the expression has, as \\1."),
        AnalysisCode("SKN0308", "BodyTooLong", .error, "A direct response whose body is too long.", "Serve it from a workload."),
        AnalysisCode("SKN0309", "BadHeaderName", .error, "A name that no header may have.", "Use letters, digits and -."),
        AnalysisCode(
            "SKN0310", "FramingHeader", .warning, "A header operation on a field that frames the message; it is left out.",
            "Delete the operation."),
        AnalysisCode("SKN0311", "BadHeaderValue", .error, "A header value with a control character.", "Delete the character."),
        AnalysisCode(
            "SKN0312", "UnknownDelegate", .warning, "A delegate that does not exist (analyze says IST0101).",
            "Define it, or correct the name."),
        AnalysisCode(
            "SKN0313", "DelegateWithHosts", .warning, "A delegate with hosts of its own (analyze says SKN0353).", "Remove its hosts."),
        AnalysisCode(
            "SKN0314", "RateLimitLeftOut", .warning, "A rate limit that cannot be counted and is left out.",
            "Change it as the message says."),
        AnalysisCode(
            "SKN0315", "GatewayServersConflict", .warning,
            "Two Gateway servers share an address and port for different protocols; the later one is left out.",
            "Give one of them another port."),
        AnalysisCode(
            "SKN0316", "UnknownOperator", .error,
            "A header value with a command operator that is not known; a warning for one of Envoy's that is not known here.",
            "Use one of those the message lists; write %% for a percent sign."),
        AnalysisCode(
            "SKN0317", "UnixSocketLeftOut", .error,
            "A Unix socket's path that cannot be kept, because the process has seen as many as it keeps.",
            "Restart the process, which forgets those of earlier configurations, or name fewer."),
        AnalysisCode(
            "SKN0318", "DelegateOutsideParent", .warning, "A delegate's rule with a match outside of those that are delegated to it.",
            "Narrow the delegate's match, or widen that of its parent."),
        AnalysisCode(
            "SKN0319", "ServerNameTaken", .warning,
            "Two Gateway servers of one port terminate TLS for one host; the first that was loaded gets its connections.",
            "Leave the host to one of them."),
        AnalysisCode(
            "SKN0320", "BadAuthorizationRule", .error, "A value of an AuthorizationPolicy's rule that cannot be compared with.",
            "Write what the message asks for."),
        AnalysisCode(
            "SKN0321", "UnknownAuthorizer", .error,
            "The provider of an AuthorizationPolicy of action CUSTOM is not among the extensionProviders, or is no external authorizer.",
            "Name one that has envoyExtAuthzHttp or envoyExtAuthzGrpc."),
        AnalysisCode(
            "SKN0322", "SeveralAuthorizers", .error, "CUSTOM policies that select one workload name different providers.",
            "Name one provider in all of them."),
        AnalysisCode(
            "SKN0323", "UnreachableAuthorizer", .error,
            "No service has the host and port of an external authorizer that a workload's policies name, or it cannot speak gRPC.",
            "Declare it with a ServiceEntry; the protocol of a gRPC authorizer's port is GRPC."),
        AnalysisCode(
            "SKN0324", "UncheckedConnections", .warning,
            "A CUSTOM policy selects a workload with TCP ports, and its authorizer is asked by HTTP: connections that match are closed.",
            "Use envoyExtAuthzGrpc, or list the ports of HTTP in the policy."),
        AnalysisCode(
            "SKN0325", "BadTokenKeys", .error, "The key set of a RequestAuthentication's rule (jwks) has no key that can be used.",
            "Write a JSON Web Key Set (RFC 7517) with a public key of the issuer; skein jwt jwks makes one."),
        AnalysisCode(
            "SKN0326", "TokenKeyLeftOut", .warning, "A key of a rule's key set (jwks) that is not used.",
            "Mend the key as the message says, or take it out."),
        AnalysisCode(
            "SKN0327", "SidecarTLSInVain", .warning,
            "TLS of a Sidecar's ingress listener at a port where PeerAuthentication STRICT takes mutual TLS of the mesh alone.",
            "Let PeerAuthentication's portLevelMtls DISABLE the port, or remove tls."),
        AnalysisCode(
            "SKN0330", "BadAccessLogFormat", .error,
            "An access-log format that cannot be read: an operator that does not exist, or labels that are no text.",
            "Write what the message asks for."),
        AnalysisCode(
            "SKN0331", "TooManyLoggedHeaders", .error, "Access-log formats that print more different headers than a record holds.",
            "Print fewer."),
    ]

    private static let analysis = [
        AnalysisCode(
            "SKN0350", "NothingDeclared", .notice,
            "No ServiceEntry, or no WorkloadEntry, is among the files, so names of them are not checked.",
            "Name the files that declare them as well."),
        AnalysisCode(
            "SKN0351", "SharedGatewayHost", .notice,
            "Two VirtualServices route one host of one Gateway: their rules follow each other as loaded; in Istio, in no defined order.",
            "Keep the rules for the host in one resource, or make sure that no request fits rules of both."),
        AnalysisCode(
            "SKN0352", "ConflictingSubsets", .warning, "Two DestinationRules define one subset of one host by different labels.",
            "Define the subset once, or give the two different names."),
        AnalysisCode(
            "SKN0353", "DelegateIgnored", .warning, "A delegate that cannot act as one: it has hosts, or rules that delegate further.",
            "A delegate has no hosts, and its rules have destinations of their own."),
        AnalysisCode(
            "SKN0354", "AnalysisCutShort", .notice, "So many rules that not all of them were compared.",
            "Split the VirtualService by host."),
        AnalysisCode(
            "SKN0355", "PerTryTimeoutIgnored", .warning, "A perTryTimeout that is not shorter than the route's timeout; it is ignored.",
            "Make perTryTimeout shorter than timeout, or delete it."),
        AnalysisCode(
            "SKN0356", "RetriesDoNotFit", .warning, "More tries than the route's timeout has room for.",
            "Raise timeout, or lower attempts or perTryTimeout."),
        AnalysisCode(
            "SKN0357", "RetriesWithoutAttempts", .warning,
            "retries without attempts: absent is 0, so nothing is tried again.", "Write attempts."),
        AnalysisCode(
            "SKN0358", "DelayOutsideTimeout", .warning, "An injected delay as long as the route's timeout, which does not count it.",
            "Expect the delay to come on top: the timeout runs from when the request goes on."),
        AnalysisCode(
            "SKN0359", "RetriesAfterAbort", .notice, "Retries of a route that aborts every request; an injected abort is never retried.",
            "Delete the retries, or abort less than all."),
        AnalysisCode(
            "SKN0360", "MirrorToItself", .warning, "A mirror to where the route sends already: those endpoints get requests twice.",
            "Mirror to another subset or service."),
        AnalysisCode(
            "SKN0361", "MirrorCircle", .warning, "Services that mirror to each other in a circle.", "Remove one of the mirrors."),
        AnalysisCode(
            "SKN0362", "WeightsNot100", .notice, "Weights that do not add up to 100; they are shares of their sum.",
            "Nothing to do, or write percentages so that readers need not divide."),
        AnalysisCode(
            "SKN0363", "WeightMissing", .warning, "A destination without weight among others with one; it gets nothing.",
            "Give it a weight, or delete it."),
        AnalysisCode(
            "SKN0364", "WeightZero", .notice, "A destination of weight 0; it gets nothing.",
            "Nothing to do if it waits for its turn; else delete it."),
        AnalysisCode(
            "SKN0365", "PortNameContradicts", .warning,
            "A port whose name says one protocol and whose protocol field another; the field is used.",
            "Change the one that is wrong."),
        AnalysisCode(
            "SKN0366", "NeverEjects", .warning, "Outlier detection that may not eject even one of the endpoints there are.",
            "Raise maxEjectionPercent, or add endpoints."),
        AnalysisCode(
            "SKN0367", "HashNeedsHTTP", .warning, "A hash of something of HTTP requests for a service that is not read as HTTP.",
            "Hash the source address (useSourceIp: true), or correct the protocol of the ports."),
        AnalysisCode(
            "SKN0368", "FaultNeverHappens", .warning, "A fault without percentage, or with 0: it is never injected.",
            "Write percentage: {value: 100}, or delete the fault."),
        AnalysisCode(
            "SKN0369", "MutualTLSMissing", .warning,
            "A DestinationRule that says DISABLE or SIMPLE for workloads that take mutual TLS only; connections to them fail.",
            "Write ISTIO_MUTUAL, or delete tls, so that it is decided by the endpoints' labels."),
        AnalysisCode(
            "SKN0370", "MutualTLSRefused", .warning,
            "A DestinationRule that says ISTIO_MUTUAL for workloads that take plaintext only; connections to them fail.",
            "Delete tls, or let their PeerAuthentication say PERMISSIVE."),
        AnalysisCode(
            "SKN0371", "MutualTLSLabelMissing", .notice,
            "A workload that takes mutual TLS only, without the label by which callers know that it does.",
            "Add the label security.istio.io/tlsMode: istio to the WorkloadEntry."),
        AnalysisCode(
            "SKN0372", "RuleNeverMatches", .warning, "A rule of an AuthorizationPolicy that no request fulfils.",
            "Correct the value that the message names, or delete the rule."),
        AnalysisCode(
            "SKN0373", "PolicyShadowed", .warning,
            "An AuthorizationPolicy that decides nothing: another one with the same action matches whatever it matches.",
            "Delete it, or narrow the other one."),
        AnalysisCode(
            "SKN0374", "ConflictingMeshOutlierDetections", .warning,
            "Two MeshOutlierDetections of one namespace for one host, or for one subset of it; only the first loaded is used.",
            "Merge the two into one resource."),
        AnalysisCode(
            "SKN0375", "JudgesNothing", .warning, "A MeshOutlierDetection without detectors for a host without outlier detection.",
            "Write errorRate or latency, or outlierDetection in the host's DestinationRule."),
    ]
}
