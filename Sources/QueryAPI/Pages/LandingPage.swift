public import HTTPService
public import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// One line of "how to use it": what for, and a command to copy.
public struct EndpointHint: Sendable {
    public var title: String
    public var command: String

    public init(title: String, command: String) {
        self.title = title
        self.command = command
    }
}

/// The documents of the page: `/` and `/zipkin/`, and `/zipkin/traces/{id}`, the address that Zipkin's users have links to.
///
/// Each is the application (`PageAssets`) with what is read where no script runs: health, services and traces here, one trace as a
/// waterfall there. Drawn on the pool, because they read the store.
public final class LandingPage: Sendable {
    /// Traces and services listed.
    public static let tracesMax = 20
    public static let servicesMax = 200
    /// How far back the list looks, milliseconds.
    public static let lookbackMilliseconds: UInt64 = 3_600_000

    private let store: any TraceQuerying
    private let pool: QueryPool
    private let document: PageDocument
    private let hints: @Sendable () -> [EndpointHint]
    /// Security policies that are not enforced, a line each.
    private let notEnforced: @Sendable () -> [String]
    private let nowMilliseconds: @Sendable () -> UInt64

    public init(
        store: any TraceQuerying, pool: QueryPool, assets: PageAssets, version: String, hints: @escaping @Sendable () -> [EndpointHint],
        notEnforced: @escaping @Sendable () -> [String] = { [] },
        nowMilliseconds: @escaping @Sendable () -> UInt64 = { SystemClock.unixNanoseconds() / 1_000_000 }
    ) {
        self.store = store
        self.pool = pool
        document = PageDocument(assets, version: version)
        self.hints = hints
        self.notEnforced = notEnforced
        self.nowMilliseconds = nowMilliseconds
    }

    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        let path = request.path
        switch path {
        case "/", "/zipkin/", "/zipkin/index.html":
            if let refusal = APIReply.refusal(request.method) { return .respond(refusal) }
            let place = path == "/" ? PagePlace.top : .zipkin
            let parameters = request.parameters
            return pool.answer(responder) { [self] in PageReply.html(overview(parameters, at: place)) }
        case "/zipkin":
            if let refusal = APIReply.refusal(request.method) { return .respond(refusal) }
            // Relative: the prefix that a reverse proxy took off is not known here.
            return .respond(ServiceResponse(status: 302, headers: [("Location", "zipkin/")]))
        default:
            guard path.hasPrefix("/zipkin/traces/") else { return nil }
            if let refusal = APIReply.refusal(request.method) { return .respond(refusal) }
            let id = QueryString.decode(path.utf8.dropFirst("/zipkin/traces/".utf8.count))
            return pool.answer(responder) { [self] in trace(id) }
        }
    }

    /// Never fails as a whole: a store that does not answer is a line on the page. `parameters` are Zipkin's, for the list.
    private func overview(_ parameters: [(name: String, value: String)], at place: PagePlace) -> [UInt8] {
        var page: [UInt8] = []
        appendHealth(to: &page)
        do {
            appendServices(try store.services(), to: &page)
            var query = try ZipkinParameters(values: parameters).traceQuery(
                nowMilliseconds: nowMilliseconds(), lookbackDefault: Self.lookbackMilliseconds)
            query.limit = Self.tracesMax
            appendTraces(try store.search(query).compactMap { TraceSummary($0) }, at: place, to: &page)
        } catch {
            page.append(text: "<section class=\"card\"><span class=\"bad\">traces cannot be read</span> ")
            page.append(escaped: (error as? ParameterError)?.text ?? "\(error)", countMax: 1000)
            page.append(text: "</section>\n")
        }
        appendHints(to: &page)
        return document.html("Skein", at: place, page)
    }

    private func appendHealth(to page: inout [UInt8]) {
        let now = store.statistics()
        page.append(text: "<section class=\"card\" id=\"health\">")
        if let problem = now.problem {
            page.append(text: "<span class=\"bad\">store</span> ")
            page.append(escaped: problem, countMax: 1000)
        } else if now.damage.isEmpty {
            page.append(text: "<span class=\"good\">● store is well</span>")
        } else {
            page.append(text: "<span class=\"bad\">store has lost something</span>")
        }
        page.append(
            text: " <span class=\"soft\">· \(PageText.countText(now.spansStored)) spans, "
                + "\(PageText.countText(now.journalSpans)) of them still in the journal"
                + " · \(PageText.countText(now.segments)) \(now.segments == 1 ? "segment" : "segments") "
                + "of \(PageText.bytesText(now.segmentBytes))"
                + " · \(PageText.bytesText(now.fileBytes)) on disk</span>")
        for damage in now.damage {
            page.append(text: "<p class=\"bad\">")
            page.append(escaped: damage.description, countMax: 1000)
            page.append(text: "</p>")
        }
        for policy in notEnforced() {
            page.append(text: "<p><span class=\"bad\">not enforced</span> ")
            page.append(escaped: policy, countMax: 1000)
            page.append(text: "</p>")
        }
        page.append(text: "</section>\n")
    }

    private func appendServices(_ names: [String], to page: inout [UInt8]) {
        page.append(text: "<section class=\"card\" id=\"services\"><h2>Services</h2>")
        if names.isEmpty { page.append(text: "<p class=\"soft\">None yet: send some spans, or requests through the proxy.</p>") }
        page.append(text: "<div class=\"chips\">")
        for name in names.prefix(Self.servicesMax) {
            page.append(text: "<a class=\"chip\" href=\"?serviceName=")
            page.append(text: Self.percentEncoded(name))
            page.append(text: "\">")
            page.append(escaped: name, countMax: 80)
            page.append(text: "</a>")
        }
        page.append(text: "</div>")
        if names.count > Self.servicesMax { page.append(text: "<p class=\"soft\">and \(names.count - Self.servicesMax) more</p>") }
        page.append(text: "</section>\n")
    }

    private func appendTraces(_ traces: [TraceSummary], at place: PagePlace, to page: inout [UInt8]) {
        page.append(text: "<section class=\"card\" id=\"traces\"><h2>Recent traces <span class=\"soft\">in the last hour</span></h2>")
        guard !traces.isEmpty else {
            page.append(
                text: "<p class=\"soft\">No trace in the last hour. Proxies sample 1 % of requests unless told otherwise.</p></section>\n")
            return
        }
        page.append(text: "<table><thead><tr><th>Started</th><th>Root</th><th class=\"n wide\">Services</th><th class=\"n\">Spans</th>")
        page.append(text: "<th class=\"n\">Duration</th><th></th><th class=\"wide\"></th></tr></thead><tbody>")
        for trace in traces {
            var digits: [UInt8] = []
            HexCodec.append(trace.id, to: &digits)
            let id = String(decoding: digits, as: UTF8.self)
            page.append(text: "<tr><td class=\"t\">\(PageText.time(microseconds: trace.start))</td>")
            page.append(text: "<td class=\"w\"><a href=\"\(place.traces)\(id)\"><b>")
            page.append(escaped: trace.service.isEmpty ? "(no service)" : trace.service, countMax: 80)
            page.append(text: "</b> ")
            page.append(escaped: trace.operation.isEmpty ? "(no name)" : trace.operation, countMax: 120)
            page.append(text: "</a>")
            if !trace.request.isEmpty {
                page.append(text: "<br><span class=\"soft\">")
                page.append(escaped: trace.request, countMax: 200)
                page.append(text: "</span>")
            }
            page.append(text: "</td><td class=\"n wide\">\(trace.services.count)</td>")
            page.append(text: "<td class=\"n\">\(PageText.countText(UInt64(trace.spanCount)))</td>")
            let duration = trace.duration > 0 ? PageText.durationText(microseconds: trace.duration) : "–"
            page.append(text: "<td class=\"n\">\(duration)</td><td>")
            if trace.hasError { page.append(text: "<span class=\"bad\">error</span>") }
            page.append(text: "</td><td class=\"wide\">")
            page.append(text: "<a href=\"\(place.root)api/v2/trace/\(id)\">JSON</a></td></tr>")
        }
        page.append(text: "</tbody></table></section>\n")
    }

    private func appendHints(to page: inout [UInt8]) {
        let list = hints()
        guard !list.isEmpty else { return }
        page.append(text: "<section class=\"card\" id=\"hints\"><h2>Use it</h2>")
        for hint in list {
            page.append(text: "<div>")
            page.append(escaped: hint.title)
            page.append(text: "</div><pre>")
            page.append(escaped: hint.command, countMax: 2000)
            page.append(text: "</pre>")
        }
        page.append(text: "</section>\n")
    }

    private func trace(_ text: String) -> ServiceResponse {
        do {
            let id = try ZipkinParameters.traceID(text.trimmingSpaces())
            let spans = try store.trace(id)
            guard let page = TracePage(spans, at: .trace) else {
                return PageReply.html(
                    message("No such trace", "\(text) is not stored here; it may be too old, or still on its way."), status: 404)
            }
            return PageReply.html(document.html(page.title, at: .trace, page.html()))
        } catch let error as ParameterError {
            return PageReply.html(message("This is no trace id", error.text), status: 400)
        } catch {
            return PageReply.html(message("The trace cannot be read", "\(error)"), status: 503)
        }
    }

    private func message(_ title: String, _ text: String) -> [UInt8] {
        var page: [UInt8] = []
        page.append(text: "<h1>")
        page.append(escaped: title)
        page.append(text: "</h1><section class=\"card\">")
        page.append(escaped: text, countMax: 1000)
        page.append(text: "</section>\n")
        return document.html(title, at: .trace, page)
    }

    /// For a query value: everything but RFC 3986's unreserved characters.
    static func percentEncoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF")
        return text.utf8.prefix(1024).reduce(into: "") { result, byte in
            let isPlain = (byte >= 0x30 && byte <= 0x39) || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A)
                || byte == 0x2D || byte == 0x2E || byte == 0x5F || byte == 0x7E
            if isPlain {
                result.append(Character(UnicodeScalar(byte)))
            } else {
                result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
    }
}
