import Glibc
import TelemetryModel

/// A day of series at 10 s as requests of remote write 1.0, so that Skein and its peers store the very same samples (`Tools/bench day`).
///
/// The first 1,000 are buckets of one histogram: 10 services, 5 callers, 20 bounds; all others are counters. Each request has ten minutes
/// of 1,000 series. On standard output each has its length before it, four bytes, the highest first.
struct RemoteWriteDay {
    private static let bounds = [
        "0.5", "1", "5", "10", "25", "50", "75", "100", "150", "200", "300", "400", "500", "750", "1000", "2500", "5000", "10000", "30000",
        "+Inf",
    ]
    private static let seriesInRequest = 1000
    private static let samplesInRequest = 60
    private static let step: Int64 = 10_000

    private var random = Random(state: 1)
    private var values: [Double]
    private let means: [Double]
    private let heads: [[UInt8]]

    init(_ count: Int) {
        var random = Random(state: 2)
        // What comes in 30 s on average.
        means = (0..<count).map { _ in 0.3 * pow(10_000, random.unit()) }
        values = [Double](repeating: 0, count: count)
        heads = (0..<count).map { Self.head(Self.labels($0)) }
    }

    private static func labels(_ number: Int) -> LabelSet {
        guard number < 1000 else { return meshLabels(number) }
        var labels = LabelSet("istio_request_duration_milliseconds_bucket")
        labels["le"] = bounds[number % 20]
        labels["destination_service"] = "service-\(number / 20 % 10).default.svc.cluster.local"
        labels["source_workload"] = "caller-\(number / 200)"
        labels["reporter"] = "destination"
        labels["response_code"] = "200"
        return labels
    }

    /// The labels of a TimeSeries as protobuf.
    private static func head(_ labels: LabelSet) -> [UInt8] {
        var bytes: [UInt8] = []
        for label in labels.labels {
            let (name, value) = (Array(label.name.utf8), Array(label.value.utf8))
            let pair = [0x0A] + varint(UInt64(name.count)) + name + [0x12] + varint(UInt64(value.count)) + value
            bytes += [0x0A] + varint(UInt64(pair.count)) + pair
        }
        return bytes
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var (rest, bytes) = (value, [UInt8]())
        while rest > 127 {
            bytes.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    /// All requests of the day that ends at `end`, milliseconds since 1970.
    mutating func write(until end: Int64) {
        let steps = 8640
        for first in stride(from: 0, to: steps, by: Self.samplesInRequest) {
            for series in stride(from: 0, to: values.count, by: Self.seriesInRequest) {
                emit(request(series..<min(series + Self.seriesInRequest, values.count), end - Int64(steps - 1 - first) * Self.step))
            }
        }
    }

    private mutating func request(_ series: Range<Int>, _ start: Int64) -> [UInt8] {
        var body: [UInt8] = []
        body.reserveCapacity(series.count * (heads[0].count + Self.samplesInRequest * 19))
        for index in series {
            var entry = heads[index]
            for sample in 0..<Self.samplesInRequest {
                if random.unit() < 1.0 / 3 {
                    let mean = means[index]
                    let noise = random.unit() + random.unit() + random.unit() - 1.5
                    values[index] += max(1, (mean + mean.squareRoot() * noise * 2).rounded())
                }
                let time = Self.varint(UInt64(start + Int64(sample) * Self.step))
                entry += [0x12, UInt8(10 + time.count), 0x09]
                var bits = values[index].bitPattern
                for _ in 0..<8 {
                    entry.append(UInt8(truncatingIfNeeded: bits))
                    bits >>= 8
                }
                entry.append(0x10)
                entry += time
            }
            body.append(0x0A)
            body += Self.varint(UInt64(entry.count))
            body += entry
        }
        return body
    }

    /// Snappy without compression: one literal.
    private func emit(_ body: [UInt8]) {
        let literal = UInt32(body.count - 1)
        var framed = Self.varint(UInt64(body.count)) + [0xFC]
        for shift in stride(from: UInt32(0), to: 32, by: 8) { framed.append(UInt8(truncatingIfNeeded: literal >> shift)) }
        framed += body
        let length = UInt32(framed.count)
        var out = stride(from: UInt32(24), through: 0, by: -8).map { UInt8(truncatingIfNeeded: length >> $0) }
        out += framed
        var offset = 0
        while offset < out.count {
            let count = unsafe out.withUnsafeBytes { bytes in unsafe Glibc.write(1, bytes.baseAddress! + offset, bytes.count - offset) }
            guard count > 0 else { exit(1) }
            offset += count
        }
    }
}
