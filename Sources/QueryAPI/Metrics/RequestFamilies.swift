internal import TelemetryModel
internal import TelemetryWire

/// Istio's request families from summed series (semantics 2.2).
enum RequestFamilies {
    static let requests = MetricFamily(
        name: "istio_requests_total", help: "Requests by the proxy that reports them, both ends and the outcome.", kind: .counter)
    static let duration = MetricFamily(
        name: "istio_request_duration_milliseconds",
        help: "Time from the first byte of the request to the last of the response, in milliseconds.",
        kind: .histogram)
    static let requestBytes = MetricFamily(
        name: "istio_request_bytes", help: "Size of requests, head and body, in bytes.", kind: .histogram, unit: "bytes")
    static let responseBytes = MetricFamily(
        name: "istio_response_bytes", help: "Size of responses, head and body, in bytes.", kind: .histogram, unit: "bytes")

    static let bounds = HistogramBounds(upperBounds: HistogramBuckets.bounds)
    /// Lines that one series takes: the counter, and buckets, sum and count of three histograms.
    static let samplesPerSeries = 1 + 3 * (HistogramBuckets.count + 2)

    /// `exemplars`: of durations, by series, one place for each bucket.
    static func write(
        _ series: [SeriesSnapshot], _ labels: SeriesLabels, _ exemplars: [SeriesKey: [Exemplar?]], _ writer: inout ExpositionWriter,
        to bytes: inout [UInt8]
    ) {
        guard !series.isEmpty else { return }
        writer.begin(requests, to: &bytes)
        for one in series { writer.counter(labels: labels.text(one.key), value: one.requests, to: &bytes) }
        writer.begin(duration, to: &bytes)
        for one in series {
            writer.histogram(
                labels: labels.text(one.key), bounds: bounds, bucketCounts: one.duration.buckets, sum: Double(one.duration.sum) / 1000,
                exemplars: exemplars[one.key] ?? [], to: &bytes)
        }
        writer.begin(requestBytes, to: &bytes)
        for one in series {
            writer.histogram(
                labels: labels.text(one.key), bounds: bounds, bucketCounts: one.requestBytes.buckets, sum: Double(one.requestBytes.sum),
                to: &bytes)
        }
        writer.begin(responseBytes, to: &bytes)
        for one in series {
            writer.histogram(
                labels: labels.text(one.key), bounds: bounds, bucketCounts: one.responseBytes.buckets, sum: Double(one.responseBytes.sum),
                to: &bytes)
        }
    }
}

/// Istio's TCP families; they appear only when there is something in them.
enum TCPFamilies {
    static func write(_ series: [TCPSeries], _ labels: SeriesLabels, _ writer: inout ExpositionWriter, to bytes: inout [UInt8]) {
        guard !series.isEmpty else { return }
        var sums: [[UInt8]: TCPSeries] = [:]
        for one in series {
            let text = labels.tcpText(one)
            if var sum = sums[text] {
                sum.sentBytes &+= one.sentBytes
                sum.receivedBytes &+= one.receivedBytes
                sum.connectionsOpened &+= one.connectionsOpened
                sum.connectionsClosed &+= one.connectionsClosed
                sums[text] = sum
            } else {
                sums[text] = one
            }
        }
        let sorted = sums.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        func family(_ name: String, _ help: String, _ value: (TCPSeries) -> UInt64) {
            writer.begin(MetricFamily(name: name, help: help, kind: .counter), to: &bytes)
            for one in sorted { writer.counter(labels: one.key, value: value(one.value), to: &bytes) }
        }
        family("istio_tcp_sent_bytes_total", "Bytes sent in TCP connections.") { $0.sentBytes }
        family("istio_tcp_received_bytes_total", "Bytes received in TCP connections.") { $0.receivedBytes }
        family("istio_tcp_connections_opened_total", "TCP connections opened.") { $0.connectionsOpened }
        family("istio_tcp_connections_closed_total", "TCP connections closed.") { $0.connectionsClosed }
    }
}
