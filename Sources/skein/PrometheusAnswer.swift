internal import Foundation

/// An answer of Prometheus' query API, as far as it is shown (prometheus.io/docs/prometheus/latest/querying/api).
struct PrometheusAnswer: Decodable {
    var status: String
    var data: Result?
    var errorType: String?
    var error: String?
    var warnings: [String]?
    var infos: [String]?

    /// `[seconds, "value"]`
    struct Point: Decodable {
        var seconds: Double
        var value: String

        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            seconds = try list.decode(Double.self)
            value = try list.decode(String.self)
        }
    }

    /// `[seconds, {count, sum, buckets}]`
    struct HistogramPoint: Decodable {
        var seconds: Double
        var count: String
        var sum: String

        private struct Histogram: Decodable {
            var count: String
            var sum: String
        }

        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            seconds = try list.decode(Double.self)
            let histogram = try list.decode(Histogram.self)
            count = histogram.count
            sum = histogram.sum
        }

        var text: String { "count \(count), sum \(sum)" }
    }

    struct Series: Decodable {
        var metric: [String: String]
        var value: Point?
        var values: [Point]?
        var histogram: HistogramPoint?
        var histograms: [HistogramPoint]?
    }

    enum Result: Decodable {
        case single(Point)
        case vector([Series])
        case matrix([Series])

        private enum Keys: String, CodingKey { case resultType, result }

        init(from decoder: any Decoder) throws {
            let fields = try decoder.container(keyedBy: Keys.self)
            switch try fields.decode(String.self, forKey: .resultType) {
            case "vector": self = .vector(try fields.decode([Series].self, forKey: .result))
            case "matrix": self = .matrix(try fields.decode([Series].self, forKey: .result))
            default: self = .single(try fields.decode(Point.self, forKey: .result))
            }
        }
    }
}

extension PrometheusAnswer.Result {
    func lines(style: TerminalStyle) -> [String] {
        switch self {
        case .single(let point): [point.value]
        case .vector(let series): series.isEmpty ? ["no series"] : Self.vector(series, style)
        case .matrix(let series): series.isEmpty ? ["no series"] : Self.matrix(series, style)
        }
    }

    private static func vector(_ series: [PrometheusAnswer.Series], _ style: TerminalStyle) -> [String] {
        let labels = SeriesColumns(series.map(\.metric))
        var table = TextTable(labels.header + ["VALUE"])
        for one in series { table.add(labels.row(one.metric) + [one.value?.value ?? one.histogram?.text ?? ""]) }
        return table.lines(style: style)
    }

    private static func matrix(_ series: [PrometheusAnswer.Series], _ style: TerminalStyle) -> [String] {
        let labels = SeriesColumns(series.map(\.metric))
        var table = TextTable(labels.header + ["MIN", "MAX", "LAST", "TREND"])
        let times = series.flatMap { ($0.values ?? []).map(\.seconds) }
        for one in series {
            let points = (one.values ?? []).map { (seconds: $0.seconds, value: Double($0.value) ?? .nan) }
            let numbers = points.map(\.value).filter { !$0.isNaN }
            let last = one.values?.last?.value ?? one.histograms?.last?.text ?? ""
            let spark = Sparkline(points, from: times.min() ?? 0, through: times.max() ?? 0).text
            table.add(labels.row(one.metric) + [Self.short(numbers.min()), Self.short(numbers.max()), last, spark])
        }
        return table.lines(style: style)
    }

    private static func short(_ value: Double?) -> String {
        guard let value else { return "" }
        return String(format: "%.4g", value)
    }
}

/// Which labels a table of series has columns for: those that tell the series apart, and otherwise what they share, in one name.
struct SeriesColumns {
    let names: [String]

    /// Columns of a table at most; what goes beyond is in the JSON.
    static let columnsMax = 8

    init(_ metrics: [[String: String]]) {
        let all = Set(metrics.flatMap(\.keys))
        let differing = all.filter { name in Set(metrics.map { $0[name] ?? "" }).count > 1 }
        let shown = metrics.count > 1 && !differing.isEmpty ? differing : all
        let sorted = shown.sorted { ($0 == "__name__" ? 0 : 1, $0) < ($1 == "__name__" ? 0 : 1, $1) }
        names = Array(sorted.prefix(Self.columnsMax))
    }

    var header: [String] { names.map { $0 == "__name__" ? "METRIC" : $0.uppercased() } }
    func row(_ metric: [String: String]) -> [String] { names.map { metric[$0] ?? "" } }
}

/// A line of blocks whose heights follow the values.
struct Sparkline {
    let text: String

    /// Blocks of a line at most.
    static let widthMax = 60
    private static let blocks = Array("▁▂▃▄▅▆▇█")

    /// Points by their time between `from` and `through`; a gap is a blank. Where several share a place, the greatest is shown.
    init(_ points: [(seconds: Double, value: Double)], from: Double, through: Double) {
        let numbers = points.filter { $0.value.isFinite }
        guard let least = numbers.map(\.value).min(), let most = numbers.map(\.value).max() else {
            text = ""
            return
        }
        let width = min(Self.widthMax, max(1, Set(points.map(\.seconds)).count))
        var places = [Double?](repeating: nil, count: width)
        for point in numbers {
            let share = through > from ? (point.seconds - from) / (through - from) : 1
            let place = min(width - 1, max(0, Int(share * Double(width - 1) + 0.5)))
            places[place] = max(places[place] ?? -.infinity, point.value)
        }
        let characters = places.map { value -> Character in
            guard let value else { return " " }
            let height = most > least ? (value - least) / (most - least) : 0
            return Self.blocks[min(7, max(0, Int(height * 7.999)))]
        }
        text = String(characters)
    }
}
