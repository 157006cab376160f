/// Rules about host names of the mesh. Pure functions.
public enum HostName {
    /// The full name of a host as a rule in `namespace` writes it: a short name (no dot) is a service of the rule's own
    /// namespace; names with dots, wildcards and addresses stay (semantics 2.6).
    ///
    /// `reviews` in `production` -> `reviews.production.svc.cluster.local`. The mesh's service domain is always
    /// `cluster.local`, as in Istio; it is not the trust domain.
    public static func resolve(_ host: String, namespace: String, domain: String = "cluster.local") -> String {
        if host.isEmpty || host.utf8.contains(where: { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: ":") }) {
            return host
        }
        return "\(host).\(namespace).svc.\(domain)"
    }

    /// Whether `pattern` (`*`, `*.suffix` or a full name) covers `host`; both may be patterns. ASCII case-insensitive.
    public static func matches(_ pattern: String, _ host: String) -> Bool {
        let pattern = pattern.lowercased()
        let host = host.lowercased()
        if pattern == "*" { return true }
        guard pattern.hasPrefix("*") else { return pattern == host }
        let suffix = pattern.dropFirst()
        return host.utf8.count > suffix.utf8.count && host.hasSuffix(suffix) || host == pattern
    }

    /// `*-v1.example.com`: a wildcard that is not a whole first label.
    static func isPartialWildcard(_ host: String) -> Bool { host.hasPrefix("*") && host != "*" && !host.hasPrefix("*.") }

    /// A name, and the wildcards that cover it, the narrowest first: `a.b.c`, `*.b.c`, `*.c`, `*`. What is too long for a name has none.
    /// Wildcards that end within a label are not among them.
    static func withWildcards(_ host: String) -> [String] {
        var result = [host]
        guard host.utf8.count <= 255 else { return result }
        var rest = Substring(host)
        while let dot = rest.firstIndex(of: ".") {
            rest = rest[rest.index(after: dot)...]
            let wildcard = "*.\(rest)"
            if wildcard != host { result.append(wildcard) }
        }
        if host != "*" { result.append("*") }
        return result
    }

    /// What both patterns cover, as one pattern: the narrower of the two; nil when they have nothing in common.
    public static func intersection(_ left: String, _ right: String) -> String? {
        if matches(left, right) { return right.lowercased() }
        return matches(right, left) ? left.lowercased() : nil
    }

    /// Names that reach a service with this full name from a workload in `namespace`, the full name first: Kubernetes'
    /// short forms, so that `http://reviews` and `http://reviews.production` work as in a cluster.
    public static func alternatives(of host: String, from namespace: String, domain: String = "cluster.local") -> [String] {
        let suffix = ".svc.\(domain)"
        guard host.hasSuffix(suffix) else { return [host] }
        let short = host.dropLast(suffix.count)
        let parts = short.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return [host] }
        var names = [host, short + ".svc", String(short)]
        if parts[1] == namespace { names.append(String(parts[0])) }
        return names
    }

    /// Of a host that is sent to: what is wrong with it as a name, or that it is a number at its end, which is an address gone wrong
    /// (`1.2.3`).
    static func hostProblem(_ host: String, wildcard: Bool) -> String? {
        if let problem = problem(host, wildcard: wildcard) { return problem }
        let last = host.split(separator: ".").last ?? ""
        return host.contains(".") && last.utf8.allSatisfy { (0x30...0x39).contains($0) }
            ? "ends with a number, so it is neither an IP address nor a DNS name" : nil
    }

    /// Nil when `host` is a DNS name as Istio allows it (RFC 1123 labels, `_` tolerated as Envoy does), else why not.
    static func problem(_ host: String, wildcard: Bool) -> String? {
        if host.isEmpty { return "is empty" }
        if host.utf8.count > 255 { return "is longer than 255 bytes" }
        var name = Substring(host)
        if name == "*" { return wildcard ? nil : "is a wildcard, which is not allowed here" }
        if name.hasPrefix("*") {
            guard wildcard else { return "has a wildcard, which is not allowed here" }
            // Envoy's suffix wildcards may end the first label: `*.example.com`, `*-v1.example.com`.
            name = name.hasPrefix("*.") ? name.dropFirst(2) : name.hasPrefix("*-") ? name.dropFirst(2) : name.dropFirst()
        }
        if name.hasSuffix(".") { name = name.dropLast() }
        for label in name.split(separator: ".", omittingEmptySubsequences: false) {
            if label.isEmpty { return "has an empty label between dots" }
            if label.utf8.count > 63 { return "has a label longer than 63 bytes" }
            let bytes = Array(label.utf8)
            let allowed = bytes.allSatisfy {
                $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") || (0x30...0x39).contains($0) || (0x41...0x5a).contains($0)
                    || (0x61...0x7a).contains($0)
            }
            if !allowed { return "has characters other than letters, digits, - and ." }
            if bytes.first == UInt8(ascii: "-") || bytes.last == UInt8(ascii: "-") { return "has a label that begins or ends with -" }
        }
        return nil
    }
}

/// Host names and wildcards, to ask what they have in common with another. In lower case.
struct HostSet {
    private var names: Set<String> = []
    /// The wildcards that cover a name of the set.
    private var above: Set<String> = []
    /// `*-v1.example.com`: rare, so looked through.
    private var partial: [String] = []

    init(_ hosts: some Sequence<String> = []) { for host in hosts { insert(host) } }

    mutating func insert(_ host: String) {
        if names.insert(host).inserted, HostName.isPartialWildcard(host) { partial.append(host) }
        above.formUnion(HostName.withWildcards(host))
    }

    /// Whether a host is of the set, or below a wildcard of it. Costs its labels.
    func covers(_ host: String) -> Bool {
        HostName.withWildcards(host).contains(where: names.contains) || partial.contains { HostName.matches($0, host) }
    }

    /// Whether a name is covered by one of the set, or is a wildcard that covers one. Costs its labels; a wildcard that ends within a
    /// label, the set.
    func overlaps(_ host: String) -> Bool {
        above.contains(host) || covers(host) || HostName.isPartialWildcard(host) && names.contains { HostName.matches(host, $0) }
    }
}
