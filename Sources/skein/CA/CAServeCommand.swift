internal import ArgumentParser
internal import CertificateAuthority
internal import MeshRuntime
internal import Primitives

struct CAServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve the authority: hosts get and renew their workloads' certificates from it.",
        discussion: """
            Takes certificate requests over TLS of whoever shows a token (skein ca token) or the certificate that is to be renewed, and \
            Istio's CreateCertificate. The other commands of skein ca work on the same directory meanwhile. SIGTERM ends it.

            EXAMPLES
              skein ca serve
              skein ca serve --directory /etc/skein/ca --listen 0.0.0.0:15012
              curl --cacert ca/root-cert.pem https://localhost:15012/v1/bundle
            """)

    @OptionGroup var options: CAOptions

    @Option(parsing: .upToNextOption, help: "Addresses and ports to listen on.")
    var listen = ["127.0.0.1:15012"]

    @Option(
        parsing: .upToNextOption,
        help: "Host names and addresses for its certificate, for clients other than skein run; localhost and those of --listen have it.")
    var names: [String] = []

    @Option(help: "How long workloads' certificates are valid, such as 24h; 366d at most.")
    var lifetime = Lifetime(seconds: Authority.leafSecondsDefault)

    static let listenersMax = 16

    func run() throws {
        guard (1...Self.listenersMax).contains(listen.count) else {
            throw ValidationError("--listen takes 1 to \(Self.listenersMax) addresses")
        }
        var found = ["localhost"]
        let endpoints = try listen.map { text in
            guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
                throw ValidationError("--listen \(text): write an address and a port, such as 127.0.0.1:15012")
            }
            let host = text[..<colon].filter { $0 != "[" && $0 != "]" }
            guard let endpoint = SocketEndpoint(address: String(host), port: port) else {
                throw ValidationError("--listen \(text): write an address and a port, such as 127.0.0.1:15012")
            }
            if host != "0.0.0.0", host != "::" { found.append(String(host)) }
            return endpoint
        }
        let names = (found + names).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        try CAOptions.explaining {
            try AuthorityProcess.run(directory: options.directory, endpoints: endpoints, names: names, seconds: lifetime.seconds)
        }
    }
}
