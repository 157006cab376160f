public import TelemetryModel

public enum MetricKind: Sendable { case counter, gauge, histogram }

/// What stands above the samples of one metric family.
public struct MetricFamily: Sendable {
    /// As in text 0.0.4, so a counter's name ends in `_total`.
    public var name: String
    public var help: String
    public var kind: MetricKind
    /// OpenMetrics UNIT; written only when the name ends in it, as that format demands. Empty = none.
    public var unit: String

    public init(name: String, help: String, kind: MetricKind, unit: String = "") {
        self.name = name
        self.help = help
        self.kind = kind
        self.unit = unit
    }
}

/// One observation with the span it came from. Its label set has 63 code points at most, below OpenMetrics' limit of 128.
public struct Exemplar: Sendable, BitwiseCopyable {
    public var traceID: TraceID
    public var spanID: SpanID
    public var value: Double
    /// 0 = no timestamp.
    public var unixNanoseconds: UInt64

    public init(traceID: TraceID, spanID: SpanID, value: Double, unixNanoseconds: UInt64 = 0) {
        self.traceID = traceID
        self.spanID = spanID
        self.value = value
        self.unixNanoseconds = unixNanoseconds
    }
}

/// Upper bounds of histogram buckets with their `le` text made once.
public struct HistogramBounds: Sendable {
    public let upperBounds: [Double]
    /// `le="0.5"` of each bound, then `le="+Inf"`; OpenMetrics wants `1.0` where text says `1`.
    fileprivate let textLabels: [[UInt8]]
    fileprivate let openMetricsLabels: [[UInt8]]

    /// `upperBounds` ascend and are finite; the +Inf bucket is added.
    public init(upperBounds: [Double]) {
        precondition(zip(upperBounds, upperBounds.dropFirst()).allSatisfy { $0 < $1 }, "bucket bounds must ascend")
        self.upperBounds = upperBounds
        func label(_ bound: Double, _ isOpenMetrics: Bool) -> [UInt8] {
            var bytes = Array("le=\"".utf8)
            let start = bytes.count
            FloatText.append(bound, to: &bytes)
            if isOpenMetrics, bytes[start...].allSatisfy({ JSONScanner.isDigit($0) }) { bytes.append(ascii: ".0") }
            bytes.append(UInt8(ascii: "\""))
            return bytes
        }
        textLabels = (upperBounds + [.infinity]).map { label($0, false) }
        openMetricsLabels = (upperBounds + [.infinity]).map { label($0, true) }
    }
}

/// Writes metric families as text, append-only, into the caller's array.
///
/// Labels come as ready text (`a="x",b="y"`, values escaped by `appendLabel`), because series are interned and their text is made once
/// per series, not per scrape. Order is the caller's duty: `begin`, then all samples of that family, and `end` once. Any thread.
public struct ExpositionWriter: Sendable {
    public let format: ExpositionFormat
    /// Of the current family: the name that its samples start with (a counter's without `_total` in OpenMetrics).
    private var name: [UInt8] = []
    private var suffix: StaticString = ""

    public init(format: ExpositionFormat) { self.format = format }

    /// HELP, TYPE and, in OpenMetrics, UNIT.
    public mutating func begin(_ family: MetricFamily, to bytes: inout [UInt8]) {
        name = Array(family.name.utf8)
        suffix = ""
        if format.isOpenMetrics, family.kind == .counter {
            if family.name.hasSuffix("_total") { name.removeLast(6) }
            suffix = "_total"
        }
        bytes.append(ascii: "# HELP ")
        bytes.append(contentsOf: name)
        bytes.append(UInt8(ascii: " "))
        appendHelp(family.help, to: &bytes)
        bytes.append(ascii: "\n# TYPE ")
        bytes.append(contentsOf: name)
        switch family.kind {
        case .counter: bytes.append(ascii: " counter\n")
        case .gauge: bytes.append(ascii: " gauge\n")
        case .histogram: bytes.append(ascii: " histogram\n")
        }
        if format.isOpenMetrics, !family.unit.isEmpty, String(decoding: name, as: UTF8.self).hasSuffix("_" + family.unit) {
            bytes.append(ascii: "# UNIT ")
            bytes.append(contentsOf: name)
            bytes.append(UInt8(ascii: " "))
            bytes.append(contentsOf: family.unit.utf8)
            bytes.append(UInt8(ascii: "\n"))
        }
    }

    /// One counter sample. `labels` is ready label text, empty for none.
    public func counter(labels: [UInt8], value: UInt64, exemplar: Exemplar? = nil, to bytes: inout [UInt8]) {
        start(suffix, labels, to: &bytes)
        bytes.append(decimal: value)
        if let exemplar { append(exemplar, to: &bytes) }
        bytes.append(UInt8(ascii: "\n"))
    }

    /// A counter that counts in fractions, such as CPU seconds.
    public func counter(labels: [UInt8], value: Double, to bytes: inout [UInt8]) {
        start(suffix, labels, to: &bytes)
        FloatText.append(value, to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
    }

    public func gauge(labels: [UInt8], value: Double, to bytes: inout [UInt8]) {
        start("", labels, to: &bytes)
        FloatText.append(value, to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// One histogram: `bucketCounts` has one count for each bound and one for +Inf, not cumulative; they are summed here, so
    /// that `_count` and the +Inf bucket cannot disagree.
    ///
    /// `exemplars` is empty or has one place for each bucket; one whose value lies outside its bucket is left out.
    public func histogram(
        labels: [UInt8], bounds: HistogramBounds, bucketCounts: [UInt64], sum: Double,
        exemplars: [Exemplar?] = [], to bytes: inout [UInt8]
    ) {
        precondition(bucketCounts.count == bounds.upperBounds.count + 1, "one count for each bound and one for +Inf")
        var cumulative: UInt64 = 0
        for index in 0..<bucketCounts.count {
            cumulative &+= bucketCounts[index]
            bytes.append(contentsOf: name)
            bytes.append(ascii: "_bucket{")
            if !labels.isEmpty {
                bytes.append(contentsOf: labels)
                bytes.append(UInt8(ascii: ","))
            }
            bytes.append(contentsOf: format.isOpenMetrics ? bounds.openMetricsLabels[index] : bounds.textLabels[index])
            bytes.append(ascii: "} ")
            bytes.append(decimal: cumulative)
            if index < exemplars.count, let exemplar = exemplars[index], holds(exemplar.value, index, bounds) {
                append(exemplar, to: &bytes)
            }
            bytes.append(UInt8(ascii: "\n"))
        }
        start("_sum", labels, to: &bytes)
        FloatText.append(sum, to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
        start("_count", labels, to: &bytes)
        bytes.append(decimal: cumulative)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// Ends the exposition; OpenMetrics demands its last line.
    public func end(to bytes: inout [UInt8]) {
        if format.isOpenMetrics { bytes.append(ascii: "# EOF\n") }
    }

    /// Appends `name="value"` to label text, with a comma before it unless it is the first. Bytes that are not UTF-8 become U+FFFD.
    public static func appendLabel(_ name: String, _ value: UnsafeRawBufferPointer, to labels: inout [UInt8]) {
        if !labels.isEmpty { labels.append(UInt8(ascii: ",")) }
        labels.append(contentsOf: name.utf8)
        labels.append(ascii: "=\"")
        var at = 0
        while at < value.count {
            let byte = unsafe value[at]
            switch byte {
            case UInt8(ascii: "\\"): labels.append(ascii: "\\\\")
            case UInt8(ascii: "\""): labels.append(ascii: "\\\"")
            case UInt8(ascii: "\n"): labels.append(ascii: "\\n")
            case 0x80...:
                let length = unsafe UTF8Text.sequenceLength(value, at)
                if length == 0 { labels.append(ascii: "\u{FFFD}") } else { unsafe labels.append(contentsOf: value[at..<at + length]) }
                at += max(length, 1) - 1
            default: labels.append(byte)
            }
            at += 1
        }
        labels.append(UInt8(ascii: "\""))
    }

    public static func appendLabel(_ name: String, _ value: String, to labels: inout [UInt8]) {
        var value = value
        value.withUTF8 { unsafe appendLabel(name, UnsafeRawBufferPointer($0), to: &labels) }
    }

    @inline(__always)
    private func start(_ suffix: StaticString, _ labels: [UInt8], to bytes: inout [UInt8]) {
        bytes.append(contentsOf: name)
        bytes.append(ascii: suffix)
        if !labels.isEmpty {
            bytes.append(UInt8(ascii: "{"))
            bytes.append(contentsOf: labels)
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: " "))
    }

    /// Whether `value` lies in bucket `index`: above the bound before it, at most its own.
    private func holds(_ value: Double, _ index: Int, _ bounds: HistogramBounds) -> Bool {
        if index > 0, value <= bounds.upperBounds[index - 1] { return false }
        return index == bounds.upperBounds.count ? !value.isNaN : value <= bounds.upperBounds[index]
    }

    private func append(_ exemplar: Exemplar, to bytes: inout [UInt8]) {
        guard format.isOpenMetrics, !exemplar.traceID.isNone else { return }
        bytes.append(ascii: " # {trace_id=\"")
        HexCodec.append(exemplar.traceID, to: &bytes)
        if !exemplar.spanID.isNone {
            bytes.append(ascii: "\",span_id=\"")
            HexCodec.append16(exemplar.spanID.rawValue, to: &bytes)
        }
        bytes.append(ascii: "\"} ")
        FloatText.append(exemplar.value, to: &bytes)
        guard exemplar.unixNanoseconds > 0 else { return }
        bytes.append(UInt8(ascii: " "))
        bytes.append(decimal: exemplar.unixNanoseconds / 1_000_000_000)
        bytes.append(UInt8(ascii: "."))
        bytes.append(decimal: exemplar.unixNanoseconds / 1_000_000 % 1000, width: 3)
    }

    private func appendHelp(_ help: String, to bytes: inout [UInt8]) {
        for byte in help.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): bytes.append(ascii: "\\\\")
            case UInt8(ascii: "\n"): bytes.append(ascii: "\\n")
            case UInt8(ascii: "\"") where format.isOpenMetrics: bytes.append(ascii: "\\\"")
            default: bytes.append(byte)
            }
        }
    }
}
