/// Why a request did not end well, in words: from its response flags and its response code details (docs/traffic.md has both lists).
enum TapReason {
    private static let flags: [String: String] = [
        "LH": "its health check fails", "UH": "no endpoint is healthy", "UT": "the endpoint took too long", "LR": "reset by this proxy",
        "UR": "the endpoint reset it", "UF": "no connection to the endpoint", "UC": "the endpoint closed the connection",
        "UO": "a limit of the cluster is reached", "NR": "no route", "DI": "delayed by a fault rule", "FI": "aborted by a fault rule",
        "RL": "rate limited", "UAEX": "refused by the external authorizer", "DC": "the client left", "URX": "all tries failed",
        "SI": "nothing was sent for too long", "DPE": "the client broke the protocol", "UPE": "the endpoint broke the protocol",
        "NC": "no such cluster", "DT": "it lasted too long", "OM": "this proxy is overloaded", "DF": "its name has no address",
        "DR": "the client reset it",
    ]

    /// Empty for a request that ended well. `flags`: short names between commas.
    static func text(status: Int, flags names: String, details: String) -> String {
        let known = names.split(separator: ",").compactMap { flags[String($0)] ?? (["-", ""].contains($0) ? nil : String($0)) }
        if known.isEmpty, (1..<400).contains(status) { return "" }
        var parts = known
        switch details {
        case "", "-": break
        case "via_upstream": parts.append("the endpoint's answer")
        default: parts.append(details)
        }
        return parts.joined(separator: ": ")
    }
}
