// Policy: decisions about one request that depend on who asks and how often: tokens, authorization, and local rate limits.
//
// Authorization. In: AuthorizationPolicies, compiled for one workload (`AuthorizationCompiler`), then a request or connection
// (`AuthorizationRequest`) with its client (`PeerFacts`). Out: an `AuthorizationDecision`, or the same in words
// (`AuthorizationExplanation`). An `AuthorizationSet` is immutable; its tables are plain, and judging allocates nothing.
//
// External authorization (`ExternalAuthorization`). In: a provider (`ExternalAuthorizer`), and what it answers by HTTP or gRPC. Out: a
// `CheckAnswer`, what becomes of the request, with everything left out that no authorizer may change; and the message that asks by gRPC
// (`CheckRequestMessage`). Nothing that an authorizer sends traps, and all of it is bounded.
//
// Tokens. In: RequestAuthentications, compiled for one workload (`RequestAuthenticationCompiler`), the keys of their issuers
// (`IssuerKeys`), then a request's head. Out: a `TokenDecision`, and the claims of the token that was verified. A `TokenAuthenticator`
// remembers what it verified.
//
// Rate limits. In: a limit (`TokenRate`), a descriptor of who is limited (`RateLimitDescriptor`, a hash), `now`. Out: a
// `RateLimitDecision`, and the values of the response headers that tell it to the client.
//
// It opens no socket and reads no clock.
//
// Threads: `RateLimiter` is shared by all workers without locks on its way for known descriptors; `AuthorizationCounters` and
// `AuthorizerCounters` belong to one worker; `RuleCatalog` and `AuthorizerCatalog` are locked, for compiling and printing; the rest are
// values.
//
// Invariants: a decision is what the rules say one by one, whatever the index leaves out. Over all threads a bucket never gives more than
// its tokens; forgetting a descriptor never gives it more either, unless the table is full of busy ones, which is counted.
// Next files: `Authorization/AuthorizationSet.swift`, `TokenRate.swift`.
