internal import ArgumentParser
internal import MeshConfig
internal import MeshRuntime

struct AuthzCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "authz", abstract: "Look at AuthorizationPolicies.", subcommands: [AuthzCheckCommand.self])
}

struct AuthzCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "List the AuthorizationPolicies and RequestAuthentications that apply to a workload.",
        discussion: """
            Policies are in the order in which they are judged: CUSTOM, AUDIT, DENY, ALLOW. Tokens are judged between CUSTOM
            and the others. What a single request would get, and why, is
            said by `skein explain --inbound`. Exits 65 when the configuration is wrong.

            EXAMPLES
              skein authz check -c mesh/ --node production/backend
              skein authz check -c mesh/ -o json | jq '.workloads[].policies'
              skein explain -c mesh/ --node backend --inbound --principal cluster.local/ns/shop/sa/web http://backend/api/x
            """)

    @Option(
        name: [.short, .customLong("config")], parsing: .singleValue,
        help: "File or directory of YAML, - for standard input; may be repeated.", completion: .file())
    var config: [String] = []

    @Flag(name: [.customShort("R"), .customLong("recursive")], help: "Read the subdirectories of directories as well.")
    var isRecursive = false

    @Option(help: "The WorkloadEntry, NAME or NAMESPACE/NAME; default all of them.")
    var node: String?

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    func validate() throws {
        if config.isEmpty { throw ValidationError("give -c FILES") }
        try SourceOptions.checkStandardInput(config)
    }

    func run() throws {
        let report = AuthorizationReport.run(from: SourceOptions.source(config, isRecursive: isRecursive), node: node)
        if !report.errors.isEmpty {
            for line in report.errors { complain("skein: \(line)") }
            throw ExitStatus.badInput
        }
        switch output {
        case .json: print(report.json)
        case .text: for workload in report.workloads { show(workload) }
        }
    }

    private func show(_ workload: AuthorizationReport.Workload) {
        print("\(workload.name): what no rule matches is \(workload.standard)")
        for one in workload.tokens {
            let issuers = one.rules.map(\.issuer).joined(separator: ", ")
            print("  tokens  \(one.id.namespace)/\(one.id.name)  of \(issuers.isEmpty ? "nobody" : issuers)  (\(one.position))")
        }
        for one in workload.policies {
            let policy = one.policy
            let detail = policy.isDryRun ? " (dry-run)" : policy.action == .custom ? " (asks \(policy.provider.name))" : ""
            let action = policy.action.rawValue + detail
            let rules = "\(policy.rules.count) rule\(policy.rules.count == 1 ? "" : "s")"
            print("  \(action)  \(policy.id.namespace)/\(policy.id.name)  \(rules)  by \(one.reason)  (\(policy.position))")
        }
    }
}
