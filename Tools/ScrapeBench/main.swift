// Measures a scrape on one core: `swift run -c release ScrapeBench`.
//
// A Prometheus series is one line of the exposition; a RED series (one label set, code and flags) makes 67 of them. Both are swept.
import Primitives
import QueryAPI
import TelemetryModel
import TelemetryWire

let workers = 2

/// Shards of two workers that know `count` RED series each, named like a real mesh names them.
func makeShards(_ count: Int, _ catalogs: Catalogs) -> [REDShard] {
    let shards = (0..<workers).map { _ in REDShard(seriesMax: count + 4) }
    for number in 0..<count {
        var source = SourceLabels()
        var destination = DestinationLabels()
        source.workload = "productpage-v\(number % 7)"
        source.workloadNamespace = "production"
        source.principal = "spiffe://cluster.local/ns/production/sa/bookinfo-productpage"
        source.app = "productpage"
        source.version = "v\(number % 7)"
        source.cluster = "Kubernetes"
        source.canonicalService = "productpage"
        source.canonicalRevision = "v\(number % 7)"
        destination.workload = "reviews-\(number)"
        destination.workloadNamespace = "production"
        destination.principal = "spiffe://cluster.local/ns/production/sa/bookinfo-reviews"
        destination.app = "reviews"
        destination.version = "v1"
        destination.service = "reviews-\(number).production.svc.cluster.local"
        destination.serviceName = "reviews-\(number)"
        destination.serviceNamespace = "production"
        destination.cluster = "Kubernetes"
        destination.canonicalService = "reviews"
        destination.canonicalRevision = "v1"
        let labels = LabelPair(source: catalogs.sources.id(source), destination: catalogs.destination(destination))
        for shard in shards {
            for request in 0..<20 {
                var sample = REDSample()
                sample.durationMicroseconds = UInt64(300 + request * request * 700)
                sample.requestBytes = UInt64(400 + request)
                sample.responseBytes = UInt64(1024 + 100 * request)
                shard.record(SeriesKey(labels: labels, responseCode: 200, flags: [], side: .outbound), sample)
            }
        }
    }
    return shards
}

func measure(_ series: Int) throws {
    let catalogs = Catalogs()
    let shards = makeShards(series, catalogs)
    let pool = try QueryPool()
    let metrics = SelfMetrics()
    metrics.registerProcess(version: "bench")
    let exposition = MetricsExposition(shards: shards, catalogs: catalogs, selfMetrics: metrics, pool: pool)
    var best = UInt64.max
    var first: UInt64 = 0
    var bytes = 0
    var lines = 0
    for round in 0..<8 {
        let before = SystemClock.threadCPUNanoseconds()
        let page = exposition.exposition(round % 2 == 0 ? .text : .openMetrics) ?? []
        let spent = SystemClock.threadCPUNanoseconds() - before
        if round == 0 { first = spent } else { best = min(best, spent) }
        if round == 0 {
            bytes = page.count
            lines = page.count { $0 == 0x0A }
        }
    }
    print("\(series) RED series, \(lines) lines, \(bytes) bytes: \(milliseconds(best)) ms a scrape, first \(milliseconds(first)) ms")
    pool.stop()
}

func milliseconds(_ nanoseconds: UInt64) -> String { "\(Double(nanoseconds / 10_000) / 100)" }

for series in [1, 10, 15, 150, 1000, 10_000] { try measure(series) }
