internal import EventLoops
internal import HTTPService
internal import Logging
internal import Policy
internal import Proxy
internal import QueryAPI
internal import TLS

/// Keys of token issuers in a running process: their fetching, and what is told of it. Made and stopped on the control thread.
struct TokenService {
    private let keys: IssuerKeys
    private let fetching: KeyFetching
    private let metrics: TokenMetrics

    /// Begins to fetch the keys that `rules` ask for.
    init(
        _ keys: IssuerKeys, _ rules: TokenRuleSet, workers: [WorkerHandle], _ options: RuntimeOptions, _ tls: ServiceTLS, _ log: Logger
    ) throws {
        self.keys = keys
        var key = ServiceTLS.ClientKey()
        // An issuer is nobody of the mesh: it is shown no certificate, and believed by the system's roots or those that were given.
        key.showsIdentity = false
        key.files.authorities = options.issuerAuthorities
        let source: Result<TLSSettingsSource, KeyFetchError>
        do throws(TLSError) {
            source = .success(try tls.source(key, "issuers of tokens"))
        } catch {
            guard options.issuerAuthorities == nil else {
                throw StartError(status: SkeinProcess.badInput, lines: ["--jwks-ca: \(error)"])
            }
            source = .failure(KeyFetchError("\(error)"))
        }
        fetching = try KeyFetching(
            keys, workers: workers, tls: { host in source.map { ClientTLS($0, host: host) } }, say: { log.log(level: $0, "\($1)") })
        metrics = TokenMetrics(keys: keys, workers: workers.map(\.statistics))
        keys.use(rules)
    }

    func register(in selfMetrics: SelfMetrics) {
        let metrics = metrics
        selfMetrics.register { metrics.samples() }
    }

    /// Rules that are about to be in effect: their keys are fetched.
    func use(_ rules: TokenRuleSet) { keys.use(rules) }

    func stop() { fetching.stop() }
}
