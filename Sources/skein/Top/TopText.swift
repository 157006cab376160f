internal import Foundation
internal import TelemetryModel

/// One picture for a pipe or a file: a table, or JSON that stays as it is (docs/operations.md).
struct TopText {
    let picture: TopPicture
    let order: TopOrder
    let window: String

    func table(style: TerminalStyle) -> [String] {
        if picture.dimension == .family { return familyTable(style) }
        let rows = order.sorted(picture.rows)
        guard !rows.isEmpty else { return ["no requests in the last \(window)"] + foot }
        let columns = TopColumns.columns(picture.dimension)
        var table = TextTable([picture.dimension.title] + columns.map(\.title))
        for row in rows { table.add([TopColumns.shown(row.name)] + columns.map { $0.cell(row).text }) }
        return table.lines(style: style) { row, column in column == 0 ? nil : columns[column - 1].cell(rows[row]).color } + foot
    }

    private var foot: [String] {
        picture.fullFamilies.isEmpty ? [] : [""] + picture.fullFamilies.map { TopFamilyText.sentence($0) }
    }

    private func familyTable(_ style: TerminalStyle) -> [String] {
        guard !picture.families.isEmpty else { return ["no metrics"] }
        var table = TextTable(["METRIC", "SERIES", "MAX", "OVERFLOWED SERIES", "OVERFLOWED SAMPLES", "LABELS WITH MOST VALUES"])
        for family in order.sorted(picture.families) {
            let labels = family.labels.prefix(3).map { "\(SafeText.clean($0.name)) \($0.values)" }.joined(separator: ", ")
            table.add([
                SafeText.clean(family.metric), "\(family.series)", "\(family.seriesMax)", "\(family.overflowedSeries)",
                "\(family.overflowedSamples)", labels,
            ])
        }
        return table.lines(style: style)
    }

    // MARK: JSON

    private struct Document: Encodable {
        struct Outcome: Encodable {
            var outcome: String
            var labels: [String: String]
            var requests_per_second: Double
        }

        /// Members that are not known are null, never absent.
        struct Row: Encodable {
            var row: TopRow

            private enum Keys: String, CodingKey {
                case name, labels, reporter, success_rate, requests_per_second, failures_per_second, p50_ms, p95_ms, p99_ms
                case retries_per_second, ejected, outcomes
            }

            func encode(to encoder: any Encoder) throws {
                var fields = encoder.container(keyedBy: Keys.self)
                try fields.encode(row.name, forKey: .name)
                try fields.encode(row.labels, forKey: .labels)
                try fields.encode(row.reporter, forKey: .reporter)
                try fields.encode(row.successRate, forKey: .success_rate)
                try fields.encode(row.requests, forKey: .requests_per_second)
                try fields.encode(row.failures, forKey: .failures_per_second)
                try fields.encode(row.p50, forKey: .p50_ms)
                try fields.encode(row.p95, forKey: .p95_ms)
                try fields.encode(row.p99, forKey: .p99_ms)
                try fields.encode(row.retries, forKey: .retries_per_second)
                try fields.encode(row.ejected, forKey: .ejected)
                let outcomes = row.shares.map { Outcome(outcome: "\($0.outcome)", labels: $0.labels, requests_per_second: $0.perSecond) }
                try fields.encode(outcomes, forKey: .outcomes)
            }
        }

        var by: String
        var window: String
        var rows: [Row]
        var families: [TopFamily]
        /// Metrics that have as many series as they may.
        var full_families: [TopFamily]
        var notes: [String]
    }

    func json() throws -> String {
        let document = Document(
            by: picture.dimension.rawValue, window: window, rows: order.sorted(picture.rows).map { Document.Row(row: $0) },
            families: order.sorted(picture.families), full_families: picture.fullFamilies, notes: picture.notes)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return SafeText.escaped(json: String(decoding: try encoder.encode(document), as: UTF8.self))
    }
}
