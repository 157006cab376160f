// OutlierDetection: which endpoints are left out for a while, and how much of a cluster may be in use at once.
//
// In: outcomes of attempts and held resources, from every worker thread (`UpstreamState`, atomics only), and virtual time.
// Out: an ejected flag per endpoint that balancers read, refusals of `tryAcquire`, events and counters for people.
// It opens no socket, reads no clock and knows no configuration format: settings come as values, `now` as a parameter.
//
// Threads: a worker calls `UpstreamState` (lock-free) and, only when `record` says that a threshold was crossed,
// `OutlierJudge.crossed` (a lock). The control thread assigns slots, calls `OutlierJudge.configure` and `tick`.
//
//   worker ──record──▶ UpstreamState ◀──ejected flags── OutlierJudge ──▶ one OutlierDetector per cluster (pure)
//     └──────────────── crossing ──────────────────────────▲
//
// The rules are those of semantics 2.5 (Envoy's algorithm as Istio drives it); limits are those of 2.4. `HealthChecker` is the
// arithmetic of active health checks; who sends the probes is somebody else's business.
//
// Invariants: never more than `limit` of a resource are held; a crossing is reported once; an ejected endpoint comes back only at an
// interval tick, by an active health check, or by leaving its cluster; every table has a bound and says when it is full.
// Next file: `OutlierSettings.swift`.
