import Foundation
@testable import skein
import Testing

/// A tap's lines: columns that stay where they are, whatever passes.
struct TapTableTests {
    private func record(_ change: (inout TapRecord) -> Void = { _ in }) throws -> TapRecord {
        var record = try JSONDecoder().decode(TapRecord.self, from: Data("{}".utf8))
        record.start_time = "2026-11-30T12:00:00.123Z"
        record.source_workload = "productpage-v1"
        record.source_namespace = "shop"
        record.destination_service = "reviews.shop.svc.cluster.local"
        record.method = "GET"
        record.path = "/reviews/1"
        record.response_code = 200
        record.response_flags = "-"
        record.duration_us = 1200
        change(&record)
        return record
    }

    @Test(arguments: [40, 80, 100, 132, 220])
    func linesFitTheTerminalAndAlign(_ columns: Int) throws {
        let table = TapTable(columns: columns, style: .plain)
        let hostile = try record {
            $0.path = "/\u{202E}\u{1B}[31m" + String(repeating: "漢", count: 300)
            $0.source_workload = String(repeating: "w", count: 300)
            $0.response_code = 503
            $0.response_flags = "UF,URX"
            $0.response_code_details = "upstream_reset_before_response_started{remote_connection_failure}"
        }
        for line in [table.heading, table.line(try record()), table.line(hostile)] {
            #expect(SafeText.width(line) <= columns, "\(line)")
            #expect(!line.contains("\u{1B}") && !line.contains("\u{202E}"))
        }
        guard columns >= 100 else { return }
        let place = try #require(table.heading.range(of: "PATH")).lowerBound.utf16Offset(in: table.heading)
        #expect(Array(table.line(try record()))[place] == "/")
    }

    @Test func reasonsAreWords() {
        #expect(TapReason.text(status: 200, flags: "-", details: "via_upstream") == "")
        #expect(TapReason.text(status: 404, flags: "NR", details: "route_not_found") == "no route: route_not_found")
        #expect(TapReason.text(status: 500, flags: "-", details: "via_upstream") == "the endpoint's answer")
        #expect(TapReason.text(status: 0, flags: "DC", details: "stream_idle_timeout") == "the client left: stream_idle_timeout")
        #expect(TapReason.text(status: 200, flags: "NEW", details: "") == "NEW")
    }

    @Test func endsAreTheBestNamesKnown() throws {
        #expect(try record().from == "productpage-v1.shop" && record().to == "reviews.shop.svc.cluster.local")
        let address = try record {
            $0.source_workload = "unknown"
            $0.downstream_remote_address = "10.0.0.1:4711"
            $0.destination_service = ""
            $0.upstream_cluster = "outbound|80||web.local"
        }
        #expect(address.from == "10.0.0.1" && address.to == "web.local")
        let bare = try record {
            $0.destination_service = nil
            $0.authority = "host:1"
        }
        #expect(bare.to == "host:1")
    }
}
