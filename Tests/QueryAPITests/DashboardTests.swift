import Foundation
import HTTPService
import TelemetryModel
import Testing

/// Nothing in `dashboards/` may ask for what we do not expose.
struct DashboardTests {
    private struct Entry: Decodable {
        var panel: String
        var expr: String
    }

    private static func expressions() throws -> [Entry] {
        let root = Fixtures.root.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", root.appending(path: "Tools/check-dashboards").path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let json = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return try JSONDecoder().decode([Entry].self, from: json)
    }

    /// Words between quotes in the sources: families and labels of parts that only the whole program puts together. That each query
    /// has data is held by the end-to-end suite.
    private static func quotedWords() throws -> Set<Substring> {
        let root = Fixtures.root.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let sources = root.appending(path: "Sources")
        var words = Set<Substring>()
        for target in ["Collector", "MeshRuntime", "QueryAPI"] {
            let files = FileManager.default.enumerator(at: sources.appending(path: target), includingPropertiesForKeys: nil)
            while let file = files?.nextObject() as? URL {
                guard file.pathExtension == "swift" else { continue }
                for match in try String(contentsOf: file, encoding: .utf8).matches(of: /"([a-z0-9_]+)"/) { words.insert(match.1) }
            }
        }
        return words
    }

    @Test func everyMetricAndLabelExists() throws {
        let server = try TestServer()
        server.metrics.registerEverything(server)
        let labels = MetricsExpositionTests.labels(server.catalogs)
        server.shard.record(SeriesKey(labels: labels, responseCode: 200, flags: [], side: .outbound), MetricsExpositionTests.sample(900))
        var names = Set<Substring>()
        // `instance` is the scraper's own.
        var labelNames: Set<Substring> = ["instance"]
        for sample in ScrapedPage(try server.get("/metrics").body).samples.keys {
            names.insert(sample.prefix { $0 != "{" })
            for label in sample.matches(of: /([a-z_]+)="/) { labelNames.insert(label.1) }
        }
        let words = try Self.quotedWords()
        names.formUnion(words)
        // Named after the items of their signal.
        names.formUnion(["skein_receiver_metric_points_total", "skein_receiver_metric_points_rejected_total"])
        // Series of a latency family, and the page's own label for its buckets.
        for name in Set(words) { names.formUnion(["_bucket", "_sum", "_count"].map { name + $0 }.map { Substring($0) }) }
        labelNames.formUnion(words)
        labelNames.insert("le")
        let entries = try Self.expressions()
        #expect(entries.count > 150)
        for entry in entries {
            for metric in entry.expr.matches(of: /\b(istio|skein|process)_[a-z0-9_]+/) where !metric.0.isEmpty {
                #expect(names.contains(metric.0), "\(entry.panel): \(metric.0)")
            }
            for label in entry.expr.matches(of: /([a-z_]+)=~?"/) { #expect(labelNames.contains(label.1), "\(entry.panel): \(label.1)") }
            for list in entry.expr.matches(of: /by \(([a-z_, ]+)\)/) {
                for label in list.1.split(separator: ", ") { #expect(labelNames.contains(label), "\(entry.panel): \(label)") }
            }
        }
    }
}
