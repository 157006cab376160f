internal import Collector
internal import HTTPService
internal import QueryAPI

/// The page on the query port: its documents and files, and the reads behind its views. Nothing of it changes anything.
struct PageWiring {
    let options: RuntimeOptions
    let version: String
    let shared: SharedStatus
    let pool: QueryPool
    let hints: [EndpointHint]

    func part(
        store: StoredTraces, tail: LogTail, sources: AdminSources, served: ServedRequestExplanation
    ) -> EndpointRouter.Part {
        let assets = PageAssets()
        let (shared, hints) = (shared, hints)
        let documents = LandingPage(
            store: store, pool: pool, assets: assets, version: version, hints: { hints }, notEnforced: { shared.configuration.unenforced })
        let traces = TraceListAPI(store: store, pool: pool)
        let status = PageStatusAPI(sources, pool: pool) { shared.configurationTag }
        let logs = LogsAPI(tail: tail, path: "/skein/logs")
        let explain = ExplainAPI(shared: shared, served: served, pool: pool, path: "/skein/explain")
        let findings = FindingsAPI(options: options, shared: shared, pool: pool)
        let policies = ServicePoliciesAPI(shared: shared, pool: pool)
        let changes = ConfigurationChangesAPI(shared: shared, pool: pool)
        return { request, responder in
            if let outcome = documents.handle(request, responder) { return outcome }
            if let outcome = assets.handle(request, responder) { return outcome }
            if let outcome = traces.handle(request, responder) { return outcome }
            if let outcome = status.handle(request, responder) { return outcome }
            if let outcome = logs.handle(request, responder) { return outcome }
            if let outcome = policies.handle(request, responder) { return outcome }
            if let outcome = changes.handle(request, responder) { return outcome }
            if let outcome = explain.handle(request, responder) { return outcome }
            return findings.handle(request, responder)
        }
    }
}
