internal import ArgumentParser
internal import MeshRuntime

/// Options of `skein run` for a certificate that a served authority issues and renews.
struct AuthorityArguments: ParsableArguments {
    @Option(
        help: """
            Get and renew this workload's certificate at the authority at HOST[:PORT] (skein ca serve, port 15012); it is kept in \
            --identity, by default in the directory identity of --data.
            """)
    var ca: String?

    @Option(
        help: "File with the token of skein ca token, for the first certificate; it need not be there once there is one.",
        completion: .file())
    var token: String?

    @Option(help: "Seconds between two looks at the authority's roots and revoked certificates.")
    var caPoll = AuthorityOptions.pollSecondsDefault

    func validate() throws {
        if let ca, Self.address(ca) == nil { throw ValidationError("--ca \(ca): write HOST or HOST:PORT, such as ca.example.org:15012") }
        if token != nil, ca == nil { throw ValidationError("--token needs the authority that made it: --ca HOST") }
        let range = AuthorityOptions.pollSecondsRange
        if !range.contains(caPoll) { throw ValidationError("--ca-poll takes \(range.lowerBound)...\(range.upperBound)") }
    }

    private static func address(_ text: String) -> (host: String, port: UInt16)? { AuthorityOptions.address(text, portDefault: 15012) }

    var options: AuthorityOptions? {
        guard let (host, port) = ca.flatMap(Self.address) else { return nil }
        var options = AuthorityOptions(host: host, port: port, token: token)
        options.pollSeconds = caPoll
        return options
    }
}
