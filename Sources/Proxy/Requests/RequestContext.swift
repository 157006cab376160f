internal import HTTP
internal import Policy
internal import Primitives

/// Independent draws, so that one decision never steers another.
struct Draws {
    var route: RandomSource
    var balance: RandomSource
    var sample: RandomSource
    var retry: RandomSource
    var fault: RandomSource
    var mirror: RandomSource
    var identifier: RandomSource

    /// `seed` pins them all.
    init(seed: UInt64) {
        var seeds = RandomSource(seed: seed)
        route = RandomSource(seed: seeds.next())
        balance = RandomSource(seed: seeds.next())
        sample = RandomSource(seed: seeds.next())
        identifier = RandomSource(seed: seeds.next())
        retry = RandomSource(seed: seeds.next())
        fault = RandomSource(seed: seeds.next())
        mirror = RandomSource(seed: seeds.next())
    }
}

/// What the steps of all requests of a worker share: bounds, draws, and rooms for what is being put together. Nothing here outlives a step.
@safe
struct RequestContext: ~Copyable {
    let limits: ProxyLimits
    let limiter: Held<RateLimiter>
    let authorizations: Held<AuthorizationCounters>
    /// Who the client of the request or tunnel that has just begun is to policies; good until the next one begins.
    var peer = PeerView()
    /// Whose request it is by its token, for as long as its steps take.
    var tokens: TokenAuthenticator
    var draws: Draws
    /// The response on its way, or an answer of our own.
    var responseHead = MessageHead()
    /// Trailers on their way, in either direction.
    var trailerHead = MessageHead(slots: 64)
    /// Lines of the trailers of the response whose end is the next event.
    var trailers = ByteBuffer()
    /// `Location`, or the body of an answer to TRACE.
    var answerText = ByteBuffer()
    /// A value made of pieces.
    var value = ByteBuffer()
    /// The elements of x-forwarded-client-cert that a request has come with.
    var certs = ByteBuffer()
    var dateCache = DateCache()
    var isDraining = false
    let pathScratch: UnsafeMutablePointer<UInt8>

    /// The limiter and the counters are kept by the caller.
    init(limits: ProxyLimits, limiter: RateLimiter, authorizations: AuthorizationCounters, keys: IssuerKeys, seed: UInt64) {
        tokens = TokenAuthenticator(keys: keys, seed: seed)
        self.limits = limits
        self.limiter = Held(keptByCaller: limiter)
        self.authorizations = Held(keptByCaller: authorizations)
        draws = Draws(seed: seed)
        unsafe pathScratch = .allocate(capacity: PathNormalizer.growthMax * limits.http.targetBytesMax + 1)
    }

    deinit { unsafe pathScratch.deallocate() }
}
