/// Cipher suites of TLS 1.2 by the names that Envoy takes (OpenSSL's), and expressions of them. Those of TLS 1.3 are never chosen by
/// configuration, there as here.
enum CipherSuites {
    /// With ephemeral keys and authenticated encryption.
    private static let strong: Set<String> = [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    ]
    /// Without one of the two; they are used when they are asked for.
    private static let weak: Set<String> = [
        "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256",
        "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA",
    ]
    /// Known and never used: 64-bit blocks.
    private static let broken: Set<String> = ["DES-CBC3-SHA"]

    /// What begins with another character is an expression (`-AES`, `[A|B]`).
    static func isExpression(_ suite: String) -> Bool { suite.utf8.first.map { !ObjectName.isAlphanumeric($0) } ?? true || suite == "ALL" }

    static func isTaken(_ suite: String) -> Bool { isExpression(suite) || strong.contains(suite) || weak.contains(suite) }

    private static let better = "use ECDHE with AES-GCM or CHACHA20-POLY1305"

    /// Why a suite is left out, for people; nil = it is used.
    static func problem(_ suite: String) -> String? {
        if isTaken(suite) { return nil }
        return broken.contains(suite) ? "is broken and is left out: \(better)" : "is not known and is left out"
    }

    /// Why a suite that is used is no good choice, for people; nil = it is.
    static func weakness(_ suite: String) -> String? {
        weak.contains(suite) ? "is weak, without forward secrecy or authenticated encryption: \(better)" : nil
    }
}
