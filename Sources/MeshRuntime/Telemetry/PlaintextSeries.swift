internal import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// Who comes without TLS, as series: `skein mtls report` asks the store for them.
enum PlaintextSeries {
    static func samples(_ workers: [PlaintextClients], _ catalogs: Catalogs) -> [MetricSamples] {
        var sums: [PlaintextClients.Key: PlaintextClients.Count] = [:]
        for worker in workers { for (key, count) in worker.counts { sums[key, default: PlaintextClients.Count()].add(count) } }
        var counts: [MetricSamples.Sample] = []
        var times: [MetricSamples.Sample] = []
        for (key, count) in sums.sorted(by: { "\($0.key.source)\($0.key.port)" < "\($1.key.source)\($1.key.port)" }) {
            let labels = catalogs.labels(key.destination)
            let names: [(name: String, value: String)] = [
                ("source", key.source.family == .absent ? "overflow" : key.source.addressText),
                ("destination_workload", labels.workload.isEmpty ? "unknown" : labels.workload),
                ("destination_workload_namespace", labels.workloadNamespace.isEmpty ? "unknown" : labels.workloadNamespace),
                ("destination_port", String(key.port)), ("protocol", key.isHTTP ? "http" : "tcp"),
            ]
            counts.append(MetricSamples.Sample(labels: names, value: Double(count.connections)))
            times.append(MetricSamples.Sample(labels: names, value: Double(count.lastUnixSeconds)))
        }
        return [
            MetricSamples(
                name: "skein_plaintext_connections_total",
                help: "Connections without TLS to ports of a workload that take both (PeerAuthentication PERMISSIVE).", kind: .counter,
                samples: counts),
            MetricSamples(
                name: "skein_plaintext_last_timestamp_seconds", help: "When the last of them came, in seconds since 1970.", kind: .gauge,
                samples: times),
        ]
    }
}
