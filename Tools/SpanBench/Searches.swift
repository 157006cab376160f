import TelemetryModel
import TelemetryStore

/// Kinds of searches, each timed by itself: what is there, and what is not and costs most where a store cannot say so at once.
struct Searches {
    private let store: TraceStore
    /// Batches of the load from all over the store's time.
    private let samples: [SpanBatch]
    private static let services = SpanGenerator.services

    init(_ store: TraceStore, _ samples: [SpanBatch]) {
        self.store = store
        self.samples = samples
    }

    func run() throws(StoreError) {
        try searches("service_status_duration") { sample, span, query in
            query.serviceName = service(sample, span)
            query.terms = [tag(sample, span, 3)]
            query.durationMin = 10_000
        }
        try searches("service_error_slow") { sample, span, query in
            query.serviceName = service(sample, span)
            query.terms = [.tag(key: "http.status_code", value: "503")]
            query.durationMin = 100_000
        }
        try searches("service_request_id_duration") { sample, span, query in
            query.serviceName = service(sample, span)
            query.terms = [tag(sample, span, 6)]
            query.durationMin = 1
        }
        try searches("service_path_duration") { sample, span, query in
            query.serviceName = service(sample, span)
            query.terms = [tag(sample, span, 2)]
            query.durationMin = 1
        }
        try searches("newest") { _, _, query in query.limit = 20 }
        try searches("newest_of_service") { sample, span, query in query.serviceName = service(sample, span) }
        try searches("service_operation") { sample, span, query in
            query.serviceName = service(sample, span)
            query.spanName = sample.string(span.name)
        }
        try searches("service_callee") { sample, span, query in
            query.serviceName = service(sample, span)
            query.remoteServiceName = Self.services[0]
        }
        try searches("newest_400") { _, _, query in query.limit = 400 }
        try searches("newest_1000_of_service") { sample, span, query in
            query.serviceName = service(sample, span)
            query.limit = 1000
        }
        try nowhere()
        try traits()
    }

    /// What the page's list is filtered by: among the newest hundred traces that have it, or in the five hundred that may.
    private func traits() throws(StoreError) {
        let keys = ["http.status_code", "http.response.status_code"]
        let asked: [(String, TraceTrait)] = [
            ("list: status 2xx", .number(keys: keys, 200...299)), ("list: status 5xx", .number(keys: keys, 500...599)),
            ("list: status 418", .number(keys: keys, 418...418)), ("list: errors", .key("error")),
            ("list: text that is often", .text(Array(Self.services[3].utf8))), ("list: text that is nowhere", .text(Array("refused".utf8))),
            ("list: digits that are nowhere", .text(Array("98765432109876".utf8))),
        ]
        for (name, trait) in asked {
            try searches(name) { _, _, query in
                query.limit = 100
                query.traits = [trait]
                query.readMax = 500
            }
        }
    }

    /// What a service never has although others may.
    private func nowhere() throws(StoreError) {
        try searches("none: service, errors") { sample, span, query in
            query.serviceName = service(sample, span)
            query.terms = [.annotationOrKey("error")]
        }
        try searches("none: errors") { _, _, query in query.terms = [.annotationOrKey("error")] }
        try searches("none: service, status, duration") { sample, span, query in
            query.serviceName = service(sample, span)
            query.terms = [.tag(key: "http.status_code", value: "500")]
            query.durationMin = 50_000
        }
        try searches("none: service, operation") { sample, span, query in
            let operation = Int(span.id.rawValue % 40)
            query.serviceName = Self.services[(operation * 7 + 6) % 12]
            query.spanName = SpanGenerator.operations[operation]
        }
        try searches("none: service, callee") { sample, span, query in
            let pair = Self.strangers[Int(span.id.rawValue % UInt64(Self.strangers.count))]
            query.serviceName = Self.services[pair.service]
            query.remoteServiceName = Self.services[pair.peer]
        }
        try searches("none: service, tag value") { sample, span, query in
            let pair = Self.strangers[Int(span.id.rawValue % UInt64(Self.strangers.count))]
            query.serviceName = Self.services[pair.service]
            query.terms = [.tag(key: "upstream_cluster", value: "outbound|9080||\(Self.services[pair.peer]).ns")]
        }
        try searches("none: service, tag key") { sample, span, query in
            query.serviceName = service(sample, span)
            query.terms = [.annotationOrKey("db.statement")]
        }
        try searches("none: service, duration") { sample, span, query in
            query.serviceName = service(sample, span)
            query.durationMin = 500_000
        }
        try searches("none: path of another service") { sample, span, query in
            query.serviceName = service(sample, span)
            query.terms = [.tag(key: "http.url", value: "http://nowhere.ns.svc.cluster.local:9080/api/v1/users/123456")]
        }
    }

    /// Services and peers that no span of the load has together.
    private static let strangers: [(service: Int, peer: Int)] = {
        var known = Set<Int>()
        for operation in 0..<40 {
            for index in 0..<8 { known.insert((operation * 7 + index / 2) % 12 * 12 + (operation + index + 3) % 12) }
        }
        return (0..<144).filter { !known.contains($0) }.map { ($0 / 12, $0 % 12) }
    }()

    private func searches(_ name: String, _ make: (SpanBatch, SpanRow, inout TraceQuery) -> Void) throws(StoreError) {
        var times: [Double] = []
        var seconds: [Double] = []
        var found = 0
        for sample in samples {
            var query = TraceQuery(endTimestamp: nowMicroseconds() / 1000 + 86_400_000)
            query.lookback = 30 * 86_400_000
            make(sample, sample.spans[17], &query)
            let before = wallSeconds()
            let spent = threadCPUSeconds()
            let traces = try store.search(query)
            times.append(wallSeconds() - before)
            seconds.append(threadCPUSeconds() - spent)
            found += traces.count
        }
        report(name, times, found, cpu: seconds)
    }

    private func tag(_ sample: SpanBatch, _ span: SpanRow, _ index: Int) -> TraceQuery.Term {
        let row = sample.tags[Int(span.tagStart) + index]
        return .tag(key: sample.string(row.key), value: sample.string(row.value))
    }

    private func service(_ sample: SpanBatch, _ span: SpanRow) -> String {
        sample.string(sample.endpoints[Int(span.localEndpoint)].serviceName)
    }
}
