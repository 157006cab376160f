internal import TelemetryModel
internal import TelemetryWire

/// One trace as a waterfall, for whoever runs no script: a row for each span, where it lies in time, its tags on demand. Pure.
///
/// Positions are numbers of SVG and classes: the page's policy forbids styles inside the document.
struct TracePage {
    /// Rows drawn; further spans are counted.
    static let spansMax = 2000
    static let tagsMax = 64
    static let annotationsMax = 64
    /// Deeper rows are not indented further.
    static let depthMax = 24

    private let batch: SpanBatch
    private let summary: TraceSummary
    private let place: PagePlace

    /// nil when there are no spans.
    init?(_ batch: SpanBatch, at place: PagePlace) {
        guard let summary = TraceSummary(batch) else { return nil }
        self.batch = batch
        self.summary = summary
        self.place = place
    }

    var title: String { "\(summary.service) \(summary.operation) – Skein" }

    func html() -> [UInt8] {
        var page: [UInt8] = []
        var digits: [UInt8] = []
        HexCodec.append(summary.id, to: &digits)
        let id = String(decoding: digits, as: UTF8.self)
        page.append(text: "<h1>")
        page.append(escaped: summary.service.isEmpty ? "(no service)" : summary.service, countMax: 80)
        page.append(text: " ")
        page.append(escaped: summary.operation, countMax: 120)
        page.append(
            text: "</h1><p><span class=\"soft\">trace \(id)</span> <a href=\"\(place.root)\">all traces</a> "
                + "<a href=\"\(place.root)api/v2/trace/\(id)\">JSON</a></p>\n")
        page.append(text: "<section class=\"card\">")
        if summary.start > 0 { page.append(text: "\(PageText.time(microseconds: summary.start)) · ") }
        page.append(text: "<b>\(PageText.durationText(microseconds: summary.duration))</b>")
        page.append(text: " · \(summary.spanCount) spans · \(summary.services.count) services")
        if summary.hasError { page.append(text: " · <span class=\"bad\">error</span>") }
        page.append(text: "</section>\n<section class=\"card\"><div class=\"fall\">\n")
        let order = batch.treeOrder()
        for place in order.prefix(Self.spansMax) { append(batch.spans[place.row], depth: place.depth, to: &page) }
        page.append(text: "</div>")
        if order.count > Self.spansMax {
            page.append(text: "<p class=\"soft\">and \(order.count - Self.spansMax) more spans: see the JSON</p>")
        }
        page.append(text: "</section>\n")
        return page
    }

    private func append(_ span: SpanRow, depth: Int, to page: inout [UInt8]) {
        page.append(text: "<div class=\"name d\(min(depth, Self.depthMax))\"><b>")
        let service = batch.nameOfService(span.localEndpoint)
        page.append(escaped: service.isEmpty ? "(no service)" : service, countMax: 80)
        page.append(text: "</b> ")
        page.append(escaped: batch.string(span.name), countMax: 120)
        if let kind = Self.kind(span.kind) { page.append(text: " <span class=\"soft\">\(kind)</span>") }
        if batch.hasError(span) { page.append(text: " <span class=\"bad\">error</span>") }
        appendDetails(span, to: &page)
        page.append(text: "</div><div class=\"lane\">")
        appendBar(span, to: &page)
        page.append(text: "</div>\n")
    }

    private func appendBar(_ span: SpanRow, to page: inout [UInt8]) {
        guard span.timestamp > 0, span.timestamp >= summary.start else { return }
        let whole = max(1, Double(summary.duration))
        let left = min(100, Double(span.timestamp - summary.start) / whole * 100)
        let width = min(100 - left, Double(span.duration) / whole * 100)
        page.append(
            text: "<svg class=\"extent\(batch.hasError(span) ? " err" : "")\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\">"
                + "<rect x=\"\(hundredths(min(left, 99.5)))\" width=\"\(hundredths(max(width, 0.5)))\" height=\"10\"/></svg>")
        let text = span.duration > 0 ? PageText.durationText(microseconds: span.duration) : "?"
        page.append(text: "<span class=\"dur\">\(text)</span>")
    }

    private func appendDetails(_ span: SpanRow, to page: inout [UInt8]) {
        var digits: [UInt8] = []
        HexCodec.append16(span.id.rawValue, to: &digits)
        page.append(text: "<details><summary>details</summary><dl><dt>span id</dt><dd>\(String(decoding: digits, as: UTF8.self))</dd>")
        let remote = batch.nameOfService(span.remoteEndpoint)
        if !remote.isEmpty { appendEntry("remote service", remote, to: &page) }
        for tag in batch.tags(of: span).prefix(Self.tagsMax) { appendEntry(batch.string(tag.key), batch.string(tag.value), to: &page) }
        let start = Int(span.annotationStart)
        for annotation in batch.annotations[start..<start + min(Int(span.annotationCount), Self.annotationsMax)] {
            let offset = annotation.timestamp >= summary.start ? annotation.timestamp - summary.start : 0
            appendEntry("+" + PageText.durationText(microseconds: offset), batch.string(annotation.value), to: &page)
        }
        page.append(text: "</dl></details>")
    }

    private func appendEntry(_ name: String, _ value: String, to page: inout [UInt8]) {
        page.append(text: "<dt>")
        page.append(escaped: name, countMax: 64)
        page.append(text: "</dt><dd>")
        page.append(escaped: value, countMax: 1000)
        page.append(text: "</dd>")
    }

    private static func kind(_ kind: SpanKind) -> String? {
        switch kind {
        case .unspecified: nil
        case .client: "client"
        case .server: "server"
        case .producer: "producer"
        case .consumer: "consumer"
        }
    }

    private func hundredths(_ value: Double) -> String {
        let scaled = UInt64(max(0, min(value, 100)) * 100)
        let rest = scaled % 100
        return "\(scaled / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}
