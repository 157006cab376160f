// Policy: decisions about one request that depend on who asks and how often. So far: local rate limits.
//
// In: a limit (`TokenRate`), a descriptor of who is limited (`RateLimitDescriptor`, a hash), `now`. Out: a `RateLimitDecision`, and the
// values of the response headers that tell it to the client.
// It opens no socket, reads no clock, knows no header list and no configuration format.
//
// Threads: `RateLimiter` is shared by all workers without locks on its way for known descriptors; the rest are values.
//
// Invariants: over all threads a bucket never gives more than its tokens; forgetting a descriptor never gives it more either, unless the
// table is full of busy ones, which is counted.
// Next file: `TokenRate.swift`.
