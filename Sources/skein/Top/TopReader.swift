internal import Foundation
internal import HTTPService

/// Why a look at the server brought no picture.
enum TopProblem: Error, Equatable {
    case unavailable(String)
    /// It answered, and not what was hoped for.
    case refused(String)

    var isUnavailable: Bool { if case .unavailable = self { true } else { false } }

    var text: String {
        switch self {
        case .unavailable(let text), .refused(let text): text
        }
    }
}

/// Asks a server's Prometheus API for a picture. Blocks; any thread.
struct TopReader: Sendable {
    let client: HTTPClient
    /// In Prometheus' form.
    let window: String

    /// Series of one answer; beyond it the picture says that there are more.
    private static let seriesMax = 200_000
    /// Metrics of a report.
    private static let familiesMax = 50

    func picture(_ dimension: TopDimension) throws(TopProblem) -> TopPicture {
        var picture = TopPicture(dimension: dimension)
        guard dimension != .family else {
            guard let families = try families(Self.familiesMax) else {
                throw .refused("this server has no /api/v1/status/cardinality: it is no Skein, or an old one")
            }
            picture.families = families
            return picture
        }
        let requests = try vector(dimension.requestsQuery(window: window), &picture.notes)
        let durations = try vector(dimension.durationsQuery(window: window), &picture.notes)
        let retries = try dimension.retriesQuery(window: window).map { query throws(TopProblem) in try vector(query, &picture.notes) }
        let ejected = try dimension.ejectedQuery.map { query throws(TopProblem) in try vector(query, &picture.notes) }
        let rows = TopRows.rows(dimension, requests: requests, durations: durations, retries: retries, ejected: ejected)
        picture.omitted = max(0, rows.count - TopPicture.rowsMax)
        picture.rows = picture.omitted == 0 ? rows : Array(TopOrder.wrong.sorted(rows).prefix(TopPicture.rowsMax))
        if picture.omitted > 0 { picture.notes.append("\(picture.omitted) rows are left out") }
        picture.fullFamilies = try families(Self.familiesMax)?.filter { $0.isFull || $0.overflowedSamples > 0 } ?? []
        return picture
    }

    private func vector(_ query: String, _ notes: inout [String]) throws(TopProblem) -> [PrometheusAnswer.Series] {
        let body = try get("/api/v1/query?limit=\(Self.seriesMax)&query=\(TracesCommand.encode(query))").body
        guard let answer = try? JSONDecoder().decode(PrometheusAnswer.self, from: Data(body)) else {
            throw .refused("no answer of Prometheus' API: \(String(decoding: body.prefix(200), as: UTF8.self))")
        }
        guard answer.status == "success", case .vector(let series)? = answer.data else {
            throw answer.errorType == "unavailable" || answer.errorType == "timeout"
                ? .unavailable(answer.error ?? "the query failed") : .refused(answer.error ?? "the query failed")
        }
        for note in answer.warnings ?? [] where !notes.contains(note) { notes.append(note) }
        return series
    }

    private struct Report: Decodable {
        struct Content: Decodable { var families: [TopFamily] }
        var data: Content
    }

    /// nil = the server has no such report: it is no Skein.
    private func families(_ limit: Int) throws(TopProblem) -> [TopFamily]? {
        let response = try get("/api/v1/status/cardinality?limit=\(limit)")
        guard response.status == 200 else { return nil }
        return (try? JSONDecoder().decode(Report.self, from: Data(response.body)))?.data.families
    }

    private func get(_ target: String) throws(TopProblem) -> HTTPClientResponse {
        do throws(HTTPClientError) {
            return try client.send("GET", target)
        } catch {
            throw .unavailable("\(error)")
        }
    }
}
