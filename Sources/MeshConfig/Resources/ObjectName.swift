/// Names as Kubernetes, and with it Istio, allows them. Pure functions; each returns what is wrong in words that follow the name.
enum ObjectName {
    /// One DNS label, RFC 1123 section 2.1 with capitals (Istio: `labels.IsDNS1123Label`): what subsets, ports, namespaces and gateways
    /// are called.
    static func labelProblem(_ text: String) -> String? {
        if text.isEmpty { return "is empty" }
        if text.utf8.count > 63 { return "is longer than 63 bytes" }
        guard text.utf8.allSatisfy({ isAlphanumeric($0) || $0 == UInt8(ascii: "-") }) else {
            return "has characters other than letters, digits and -"
        }
        if text.hasPrefix("-") || text.hasSuffix("-") { return "begins or ends with -" }
        return nil
    }

    /// A label's key: a name of at most 63 bytes, before it perhaps a DNS name and a slash (Kubernetes, "Syntax and character set").
    static func labelKeyProblem(_ key: String) -> String? {
        let parts = key.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2, let problem = HostName.problem(String(parts[0]), wildcard: false) { return "has a prefix that \(problem)" }
        return parts.last.map { $0.isEmpty ? "is empty" : qualifiedProblem($0) } ?? "is empty"
    }

    /// A label's value: as the name in its key, or empty.
    static func labelValueProblem(_ value: String) -> String? { value.isEmpty ? nil : qualifiedProblem(Substring(value)) }

    private static func qualifiedProblem(_ text: Substring) -> String? {
        if text.utf8.count > 63 { return "is longer than 63 bytes" }
        guard text.utf8.allSatisfy({ isAlphanumeric($0) || "-_.".utf8.contains($0) }) else {
            return "has characters other than letters, digits, -, _ and ."
        }
        let ends = [text.utf8.first, text.utf8.last].compactMap(\.self)
        return ends.allSatisfy(isAlphanumeric) ? nil : "must begin and end with a letter or digit"
    }

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }
}
