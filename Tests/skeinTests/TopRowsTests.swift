internal import Foundation
@testable import skein
import Testing

@Suite struct TopRowsTests {
    /// Series of an instant query's answer, from labels and values.
    static func series(_ all: [([String: String], String)]) throws -> [PrometheusAnswer.Series] {
        let result = all.map { ["metric": $0.0, "value": [0.0, $0.1] as [Any]] as [String: Any] }
        let body = try JSONSerialization.data(withJSONObject: ["status": "success", "data": ["resultType": "vector", "result": result]])
        guard case .vector(let series)? = try JSONDecoder().decode(PrometheusAnswer.self, from: body).data else { return [] }
        return series
    }

    private static func request(
        _ service: String, _ code: String, _ perSecond: String, reporter: String = "source", grpc: String? = nil
    ) -> ([String: String], String) {
        var labels = ["destination_service": service, "reporter": reporter, "response_code": code, "response_flags": "-"]
        labels["request_protocol"] = grpc == nil ? "http" : "grpc"
        labels["grpc_response_status"] = grpc
        return (labels, perSecond)
    }

    private func rows(_ requests: [([String: String], String)], _ durations: [([String: String], String)] = []) throws -> [TopRow] {
        TopRows.rows(
            .service, requests: try Self.series(requests), durations: try Self.series(durations), retries: nil, ejected: nil)
    }

    /// linkerd's and Kiali's rule: only a 5xx is a failure, and who left before an answer is neither.
    @Test func successIsTheShareOfAnswersThatAreNoServerError() throws {
        let row = try #require(try rows([
            Self.request("a", "200", "6"), Self.request("a", "404", "3"), Self.request("a", "503", "1"), Self.request("a", "0", "2"),
        ]).first)
        #expect(row.successRate == 0.9 && row.requests == 12 && row.failures == 1)
        #expect(row.shares.map(\.perSecond) == [6, 3, 2, 1])
    }

    @Test(arguments: [("0", 1.0), ("1", 1.0), ("5", 1.0), ("7", 1.0), ("2", 0.0), ("4", 0.0), ("13", 0.0), ("14", 0.0), ("15", 0.0)])
    func statusesOfGRPC(_ status: String, _ rate: Double) throws {
        #expect(try rows([Self.request("a", "200", "1", grpc: status)]).first?.successRate == rate)
    }

    @Test func aStreamThatEndsWithoutAStatusIsAFailure() throws {
        #expect(try rows([Self.request("a", "200", "1", grpc: "unknown")]).first?.successRate == 0)
    }

    /// No traffic is not 100 %.
    @Test func withoutAnswersThereIsNoRate() throws {
        #expect(try rows([Self.request("a", "0", "5")]).first?.successRate == nil)
        #expect(try rows([Self.request("a", "200", "0"), Self.request("b", "200", "NaN")]).isEmpty)
    }

    /// Both proxies of a request report it: it counts once.
    @Test func oneReporterIsBelieved() throws {
        let both = [Self.request("a", "200", "8"), Self.request("a", "503", "2"), Self.request("a", "200", "8", reporter: "destination")]
        #expect(try rows(both).first?.requests == 10 && rows(both).first?.reporter == "source")
        // Clients without a proxy: only the service's own proxy has seen them.
        let more = [Self.request("a", "200", "8"), Self.request("a", "200", "80", reporter: "destination")]
        #expect(try rows(more).first?.requests == 80 && rows(more).first?.reporter == "destination")
        #expect(try rows([Self.request("a", "200", "3", reporter: "destination")]).first?.reporter == "destination")
    }

    @Test func quantilesAreOfTheReporterThatIsBelieved() throws {
        func bucket(_ reporter: String, _ bound: String, _ count: String) -> ([String: String], String) {
            (["destination_service": "a", "reporter": reporter, "le": bound], count)
        }
        let row = try #require(try rows([Self.request("a", "200", "10")], [
            bucket("source", "10", "5"), bucket("source", "20", "10"), bucket("source", "+Inf", "10"),
            bucket("destination", "10", "10"), bucket("destination", "20", "10"), bucket("destination", "+Inf", "10"),
        ]).first)
        #expect(row.p50 == 10 && row.p95 == 19)
    }

    @Test func quantilesAreThoseOfPromQL() {
        let buckets = BucketQuantiles([(.infinity, 100), (1, 10), (10, 60), (100, 90)])
        // The lowest bucket from 0; linear within; the highest finite bound for what lies above it.
        #expect(buckets.quantile(0.05) == 0.5 && buckets.quantile(0.5) == 8.2 && buckets.quantile(0.99) == 100)
        #expect(BucketQuantiles([]).quantile(0.5) == nil && BucketQuantiles([(.infinity, 5)]).quantile(0.5) == nil)
        #expect(BucketQuantiles([(1, 0), (.infinity, 0)]).quantile(0.5) == nil && BucketQuantiles([(1, 5)]).quantile(0.5) == nil)
    }

    @Test func retriesAndEjectionsFindTheirService() throws {
        let row = try #require(TopRows.rows(
            .service, requests: try Self.series([Self.request("reviews", "200", "1")]), durations: [],
            retries: try Self.series([(["cluster": "outbound|9080|v1|reviews"], "2"), (["cluster": "outbound|9080|v2|reviews"], "1")]),
            ejected: try Self.series([
                (["cluster": "outbound|9080|v1|reviews", "endpoint": "10.0.0.1:9080"], "0"), (["cluster": "outbound|80||x"], "0"),
            ])
        ).first)
        #expect(row.retries == 3 && row.ejected == 1)
    }

    @Test func workloadsOfSeveralNamespacesAreToldApart() throws {
        func edge(_ source: String, _ from: String, _ to: String) -> ([String: String], String) {
            ([
                "source_workload": source, "source_workload_namespace": from, "destination_workload": "db",
                "destination_workload_namespace": to, "reporter": "source", "response_code": "200",
            ], "1")
        }
        func names(_ edges: [([String: String], String)]) throws -> [String] {
            TopRows.rows(.edge, requests: try Self.series(edges), durations: [], retries: nil, ejected: nil).map(\.name).sorted()
        }
        #expect(try names([edge("web", "one", "one"), edge("unknown", "unknown", "one")]) == ["unknown → db", "web → db"])
        #expect(try names([edge("web", "one", "one"), edge("web", "two", "one")]) == ["web.one → db.one", "web.two → db.one"])
    }

    /// Whatever a server answers, there is a row or none, and never an end of the program.
    @Test(arguments: ["-1", "1e308", "+Inf", "-Inf", "NaN", "", "x", "1e-320"])
    func anyNumberCanBeDrawn(_ value: String) throws {
        let found = try rows(
            [Self.request("a", "200", "1"), Self.request("a", "503", value)],
            ["-1", "NaN", value, "+Inf"].map { (["destination_service": "a", "reporter": "source", "le": $0], value) })
        for row in found { for column in TopColumns.columns(.service) { #expect(!column.cell(row).text.isEmpty) } }
        _ = try TopText(picture: TopPicture(dimension: .service, rows: found), order: .wrong, window: "1m").json()
    }
}
