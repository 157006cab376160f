/// The netfilter rules that send a machine's or namespace's TCP connections through the proxy. One table (or pair of chains) of our own,
/// so that what is switched on can be switched off without touching anybody else's rules.
struct CaptureRules {
    enum Tool: String, CaseIterable {
        case iptables, nft
    }

    var outboundPort: UInt16 = 15001
    var inboundPort: UInt16 = 15006
    /// The proxy's own connections pass: this user's.
    var uid: UInt32
    var capturesInbound = true
    var excludedOutboundPorts: [UInt16] = []
    var excludedInboundPorts: [UInt16] = []
    var excludedRanges: [String] = []

    /// Inbound ports that stay reachable whatever is captured: ssh, and the proxy's own.
    static let alwaysExcluded: [UInt16] = [22, 15000, 15001, 15006, 15021, 15090]

    func enable(_ tool: Tool) -> [String] { tool == .iptables ? enableIptables() : enableNft() }
    func disable(_ tool: Tool) -> [String] { tool == .iptables ? disableIptables() : ["nft delete table inet skein"] }

    private func enableIptables() -> [String] {
        var lines = ["iptables -t nat -N SKEIN_OUTPUT"]
        // Its own connections, and those that stay on the machine.
        lines.append("iptables -t nat -A SKEIN_OUTPUT -m owner --uid-owner \(uid) -j RETURN")
        lines.append("iptables -t nat -A SKEIN_OUTPUT -o lo -j RETURN")
        for range in excludedRanges { lines.append("iptables -t nat -A SKEIN_OUTPUT -d \(range) -j RETURN") }
        for port in excludedOutboundPorts { lines.append("iptables -t nat -A SKEIN_OUTPUT -p tcp --dport \(port) -j RETURN") }
        lines.append("iptables -t nat -A SKEIN_OUTPUT -p tcp -j REDIRECT --to-ports \(outboundPort)")
        lines.append("iptables -t nat -A OUTPUT -p tcp -j SKEIN_OUTPUT")
        guard capturesInbound else { return lines }
        lines.append("iptables -t nat -N SKEIN_INBOUND")
        for port in Self.alwaysExcluded + excludedInboundPorts {
            lines.append("iptables -t nat -A SKEIN_INBOUND -p tcp --dport \(port) -j RETURN")
        }
        lines.append("iptables -t nat -A SKEIN_INBOUND -p tcp -j REDIRECT --to-ports \(inboundPort)")
        lines.append("iptables -t nat -A PREROUTING -p tcp -j SKEIN_INBOUND")
        return lines
    }

    private func disableIptables() -> [String] {
        [
            "iptables -t nat -D OUTPUT -p tcp -j SKEIN_OUTPUT", "iptables -t nat -F SKEIN_OUTPUT", "iptables -t nat -X SKEIN_OUTPUT",
            "iptables -t nat -D PREROUTING -p tcp -j SKEIN_INBOUND", "iptables -t nat -F SKEIN_INBOUND", "iptables -t nat -X SKEIN_INBOUND",
        ]
    }

    private func enableNft() -> [String] {
        func list(_ ports: [UInt16]) -> String { "{ " + ports.map(String.init).joined(separator: ", ") + " }" }
        var lines = ["nft add table inet skein"]
        lines.append("nft 'add chain inet skein output { type nat hook output priority -100; }'")
        lines.append("nft add rule inet skein output meta skuid \(uid) return")
        lines.append("nft add rule inet skein output oifname lo return")
        for range in excludedRanges {
            lines.append("nft add rule inet skein output \(range.contains(":") ? "ip6" : "ip") daddr \(range) return")
        }
        if !excludedOutboundPorts.isEmpty {
            lines.append("nft 'add rule inet skein output tcp dport \(list(excludedOutboundPorts)) return'")
        }
        lines.append("nft add rule inet skein output meta l4proto tcp redirect to :\(outboundPort)")
        guard capturesInbound else { return lines }
        lines.append("nft 'add chain inet skein prerouting { type nat hook prerouting priority -100; }'")
        lines.append("nft 'add rule inet skein prerouting tcp dport \(list(Self.alwaysExcluded + excludedInboundPorts)) return'")
        lines.append("nft add rule inet skein prerouting meta l4proto tcp redirect to :\(inboundPort)")
        return lines
    }
}
