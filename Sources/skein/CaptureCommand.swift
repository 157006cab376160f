internal import ArgumentParser
internal import Glibc
internal import MeshRuntime

/// `skein capture`: transparent capture by REDIRECT, for machines without Kubernetes.
struct CaptureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture", abstract: "Send this machine's (or network namespace's) TCP connections through the proxy.",
        discussion: """
            Run as root. The proxy's own connections are recognised by their user and left alone, so run `skein run` as a user of its own:
            what else runs as that user is not captured either. Without --uid it is the user whose process listens on the outbound port. A
            wrong user would send the proxy's connections back to itself without end, so that nothing is guessed when nobody listens
            there.

            Examples:
              skein capture enable
              skein capture print --uid skein
              skein capture enable --uid skein --exclude-outbound-ports 5432
              skein capture disable
              ip netns exec app skein capture enable --uid 1337 --tool nft
            """,
        subcommands: [Enable.self, Disable.self, Print.self])

    struct Options: ParsableArguments {
        @Option(
            help: """
                User of the proxy, by name or number; its connections are not captured. Default: whose process listens on the \
                outbound port.
                """)
        var uid: String?
        @Option(help: "iptables or nft; by default what is installed, iptables first.")
        var tool: String?
        @Option(help: "The proxy's outbound port.")
        var outboundPort: UInt16 = 15001
        @Option(help: "The proxy's inbound port.")
        var inboundPort: UInt16 = 15006
        @Flag(help: "Leave connections to this machine alone.")
        var outboundOnly = false
        @Option(parsing: .upToNextOption, help: "Destination ports that are not captured.")
        var excludeOutboundPorts: [UInt16] = []
        @Option(parsing: .upToNextOption, help: "Ports of this machine that are not captured (22 and the proxy's own never are).")
        var excludeInboundPorts: [UInt16] = []
        @Option(parsing: .upToNextOption, help: "Destination addresses or ranges (10.0.0.0/8) that are not captured.")
        var excludeRanges: [String] = []

        func rules() throws -> CaptureRules {
            let number = try userNumber()
            for range in excludeRanges where !range.allSatisfy({ $0.isHexDigit || ".:/".contains($0) }) {
                throw ValidationError("--exclude-ranges \(range): write an address or a range such as 10.0.0.0/8")
            }
            var rules = CaptureRules(uid: number)
            rules.outboundPort = outboundPort
            rules.inboundPort = inboundPort
            rules.capturesInbound = !outboundOnly
            rules.excludedOutboundPorts = excludeOutboundPorts
            rules.excludedInboundPorts = excludeInboundPorts
            rules.excludedRanges = excludeRanges
            return rules
        }

        func chosenTool() throws -> CaptureRules.Tool {
            if let tool {
                guard let known = CaptureRules.Tool(rawValue: tool) else {
                    throw ValidationError("--tool \(tool): iptables and nft are known")
                }
                return known
            }
            for known in CaptureRules.Tool.allCases where unsafe system("command -v \(known.rawValue) >/dev/null 2>&1") == 0 {
                return known
            }
            throw ValidationError("neither iptables nor nft is installed: apt-get install iptables, or nftables")
        }

        private func userNumber() throws -> UInt32 {
            if let uid {
                guard let number = UInt32(uid) ?? Self.userNumber(uid) else {
                    throw ValidationError("--uid \(uid): no such user; write a name of /etc/passwd or a number")
                }
                return number
            }
            let users = PortHolder.users(ofPort: outboundPort)
            guard users.count <= 1 else {
                throw ValidationError(
                    "several users listen on port \(outboundPort) (\(users.sorted().map(String.init).joined(separator: ", "))): name the "
                        + "proxy's with --uid")
            }
            guard let user = users.first else {
                throw ValidationError(
                    "nothing listens on port \(outboundPort), so that whose connections to leave alone is not known: start skein run "
                        + "first, or name its user with --uid")
            }
            return user
        }

        private static func userNumber(_ name: String) -> UInt32? {
            guard let entry = unsafe getpwnam(name) else { return nil }
            return unsafe entry.pointee.pw_uid
        }
    }

    struct Print: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the commands that enable would run.")
        @OptionGroup var options: Options

        func run() throws {
            let tool = options.tool.flatMap(CaptureRules.Tool.init(rawValue:)) ?? .iptables
            for line in try options.rules().enable(tool) { print(line) }
        }
    }

    struct Enable: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Switch capture on; what is half done is undone.")
        @OptionGroup var options: Options

        func run() throws {
            let rules = try options.rules()
            let tool = try options.chosenTool()
            // A second enable replaces the first.
            for line in rules.disable(tool) { _ = unsafe system("\(line) 2>/dev/null") }
            for line in rules.enable(tool) where unsafe system(line) != 0 {
                for line in rules.disable(tool) { _ = unsafe system("\(line) 2>/dev/null") }
                CaptureCommand.complain("failed, nothing is captured: \(line)")
                throw ExitCode(70)
            }
            let inbound = rules.capturesInbound ? ", incoming ones to \(rules.inboundPort)" : ""
            CaptureCommand.say(
                "outgoing connections go to \(rules.outboundPort)\(inbound); those of user \(rules.uid) and of this machine to itself "
                    + "are left alone. End: skein capture disable")
        }
    }

    struct Disable: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Switch capture off; fine when it is off.")
        @OptionGroup var options: Options

        func run() throws {
            for line in CaptureRules(uid: 0).disable(try options.chosenTool()) { _ = unsafe system("\(line) 2>/dev/null") }
        }
    }

    private static func complain(_ line: String) { say("error: \(line)") }

    private static func say(_ line: String) {
        var text = "\(line)\n"
        text.withUTF8 { unsafe _ = write(2, $0.baseAddress, $0.count) }
    }
}
