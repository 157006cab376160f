// CanaryAnalysis: whether a canary is as good as the stable version beside it, judged while both serve.
//
// In: counts of both destinations in steps of time (`CanaryStep`), oldest first, and what is asked for (`CanarySettings`).
// Out: a verdict with its evidence (`CanaryReport`). It opens nothing, reads no clock, and changes no weight of any route.
//
//   steps ──▶ CanaryJudge ──▶ ErrorTest: share of failed requests ─────┐
//                        └──▶ LatencyTests: shares of slow requests ───┴─▶ ShareTest: two sequential tests of a share
//
// People look again and again while a canary runs, so a test for one look would be wrong far more often than it claims. Each share has a
// test martingale instead (`ShareTest`), whose error rate holds however often and whenever somebody looks.
//
// Invariants: the same steps give the same report; a verdict once reached stays, but that `rollback` replaces `promote`; every number from
// outside may be anything; cost is bounded by `CanaryLimits`.
// Thread: any, values only. Next file: `CanarySettings.swift`, then `ShareTest.swift`. The whole on one page: docs/canary.md.
