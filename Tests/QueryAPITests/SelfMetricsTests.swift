import QueryAPI
import TelemetryWire
import Testing

struct SelfMetricsTests {
    @Test func joinsFamiliesAndSortsThem() {
        let metrics = SelfMetrics()
        metrics.registerQueues { [QueueHealth(queue: "b", depth: 1, capacity: 2)] }
        metrics.registerQueues { [QueueHealth(queue: "a", depth: 3, capacity: 4)] }
        let families = metrics.collect()
        #expect(families.map(\.family.name) == ["skein_metric_samples_rejected", "skein_queue_capacity", "skein_queue_depth"])
        #expect(families[2].samples.map(\.value) == [1, 3])
    }

    /// None of our own families is among the rejected.
    @Test func ownFamiliesAreAllValid() throws {
        let server = try TestServer()
        server.metrics.registerEverything(server)
        let families = server.metrics.collect()
        #expect(families.first { $0.family.name == "skein_metric_samples_rejected" }?.samples.first?.value == 0)
        #expect(families.count > 55)
    }

    /// A component's mistake must not make the whole page unreadable to Prometheus.
    @Test func leavesOutWhatNoScraperWouldTake() throws {
        let metrics = SelfMetrics()
        metrics.register {
            [
                MetricSamples(name: "1bad", help: "", kind: .gauge, value: 1),
                MetricSamples(name: "counter_without_suffix", help: "", kind: .counter, value: 1),
                MetricSamples(name: "", help: "", kind: .gauge, value: 1),
                MetricSamples(name: "no_samples", help: "", kind: .gauge, samples: []),
                MetricSamples(name: "twice", help: "", kind: .gauge, label: "a", values: [("x", 1), ("x", 2)]),
                MetricSamples(name: "twice", help: "", kind: .counter, value: 1),
                // In OpenMetrics both would be the family `clash`, and the page unreadable.
                MetricSamples(name: "clash", help: "", kind: .gauge, value: 1),
                MetricSamples(name: "clash_total", help: "", kind: .counter, value: 1),
                MetricSamples(name: "bad_label", help: "", kind: .gauge, label: "a-b", values: [("x", 1)]),
                MetricSamples(name: "wild", help: "", kind: .gauge, label: "id", values: (0..<5000).map { ("\($0)", 1) }),
            ]
        }
        let families = metrics.collect()
        #expect(families.map(\.family.name) == ["clash_total", "skein_metric_samples_rejected", "twice", "wild"])
        #expect(families[2].samples.map(\.value) == [1])
        #expect(families[3].samples.count == SelfMetrics.samplesMax)
        #expect(families[1].samples[0].value == Double(3 + 2 + 1 + 1 + 5000 - SelfMetrics.samplesMax))
    }
}
