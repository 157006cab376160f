import Foundation
import HTTPService
import QueryAPI
import Testing

/// The page's own files: what is embedded, how small it is, and what it must not do.
struct PageAssetsTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Sources/CWebPage/web")
    static let linesMax = 300
    static let columnsMax = 140

    static func written() throws -> [String: String] {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        return try Dictionary(uniqueKeysWithValues: names.map { ($0, try String(contentsOf: folder.appending(path: $0), encoding: .utf8)) })
    }

    /// A file that is written and not embedded is a view that does not load.
    @Test func embedsWhatIsWritten() throws {
        let assets = PageAssets()
        let written = try Self.written()
        #expect(Set(assets.files.keys) == Set(written.keys))
        for (name, text) in written { #expect(assets.files[name].map { String(decoding: $0.bytes, as: UTF8.self) } == text, "\(name)") }
    }

    @Test func staysSmall() throws {
        let files = PageAssets().files
        #expect(files.values.map(\.bytes.count).reduce(0, +) <= PageAssets.sourceBytesMax)
        let first = try Self.firstView()
        #expect(first.contains("app.js") && first.contains("traces.js") && first.contains("base.css"))
        let sent = first.compactMap { files[$0] }.map { ($0.gzip ?? $0.bytes).count }.reduce(0, +)
        #expect(sent <= PageAssets.firstViewBytesMax, "\(sent) bytes")
        for (name, text) in try Self.written() {
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.count <= Self.linesMax, "\(name) has \(lines.count) lines")
            for line in lines where line.count > Self.columnsMax && !name.hasSuffix(".svg") { Issue.record("\(name): \(line)") }
        }
    }

    /// What is loaded before anything is clicked: the document, what it names, and what that imports.
    static func firstView() throws -> Set<String> {
        let written = try written()
        var found: Set<String> = ["shell.html"]
        var open = ["shell.html", "traces.js"]
        while let name = open.popLast() {
            found.insert(name)
            let text = try #require(written[name], "\(name)")
            let named = text.matches(of: /(?:\{\{root\}\}web\/|from "\.\/)([\w.]+)"/).map { String($0.1) }
            open += named.filter { !found.contains($0) }
        }
        return found
    }

    private static let waysToParse = [
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "new Function", "setHTML", "srcdoc",
        "createContextualFragment", "javascript:",
    ]

    /// Text by strangers is text, nothing comes from elsewhere, and the policy would refuse what stands inside anyway.
    @Test func buildsFromTextAlone() throws {
        for (name, text) in try Self.written() {
            for bad in Self.waysToParse { #expect(!text.contains(bad), "\(name): \(bad)") }
            #expect(!text.contains("style=\""), "\(name)")
            // Names without a dot are examples of services.
            let links = text.matches(of: /https?:\/\/[\w-]+\.[\w.]+/).map { String($0.0) }
            #expect(links.allSatisfy { ["http://www.w3.org"].contains($0) }, "\(name): \(links)")
            if name.hasSuffix(".html") { #expect(!text.contains("=\"/"), "\(name) names a place from the top: it stands below any prefix") }
        }
    }

    @Test func answersOnceAndThenNothing() throws {
        let server = try TestServer()
        let plain = try server.get("/web/app.js")
        #expect(plain.status == 200 && plain.header("content-type") == "text/javascript; charset=utf-8")
        #expect(plain.header("vary") == "Accept-Encoding" && plain.header("cache-control") == "no-cache")
        #expect(plain.header("x-content-type-options") == "nosniff" && plain.header("referrer-policy") == "no-referrer")
        let tag = try #require(plain.header("etag"))
        #expect(tag.hasPrefix("\"") && tag.hasSuffix("\""))
        let small = try server.send("GET", "/zipkin/web/app.js", headers: [("Accept-Encoding", "gzip")])
        #expect(small.header("content-encoding") == "gzip" && small.body.count < plain.body.count / 2)
        let smallTag = try #require(small.header("etag"))
        #expect(smallTag != tag, "one strong tag names one row of bytes")
        for field in [tag, smallTag, "\"x\", W/\(tag)", "*"] {
            let again = try server.send("GET", "/web/app.js", headers: [("If-None-Match", field)])
            #expect(again.status == 304 && again.body.isEmpty && again.header("etag") == tag, "\(field)")
        }
        #expect(try server.send("GET", "/web/app.js", headers: [("If-None-Match", "\"x\"")]).status == 200)
        #expect(try server.get("/web/none.js").status == 404)
        #expect(try server.get("/web/../app.js").status == 404)
        #expect(try server.send("POST", "/web/app.js").status == 405)
        #expect(try server.send("HEAD", "/web/base.css").header("content-type") == "text/css; charset=utf-8")
    }
}
