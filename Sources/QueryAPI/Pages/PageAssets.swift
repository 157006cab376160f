internal import CWebPage
internal import Compression
public import HTTPService

/// The page's own files, `GET /web/NAME` and `/zipkin/web/NAME`: style sheets, scripts, the icon.
///
/// Read from the binary and compressed once, at the start; answered on the server's thread without work. A client that has a file keeps
/// it and asks whether it is still the one (`ETag`, RFC 9110 8.8.3): after an upgrade the next look brings the new page, and never a
/// mixture of two.
public final class PageAssets: Sendable {
    /// Bytes of all files together, and of what the first view needs as it is sent (issue: the page); a test holds both.
    public static let sourceBytesMax = 400 << 10
    public static let firstViewBytesMax = 60 << 10

    public struct File: Sendable {
        public let name: String
        public let bytes: [UInt8]
        /// Nil where gzip makes it no smaller.
        public let gzip: [UInt8]?
        let contentType: String
        /// With its quotes. The compressed form has another: strong tags name bytes.
        let tag: String
        var gzipTag: String { String(tag.dropLast()) + "-gzip\"" }
    }

    public let files: [String: File]

    public init() {
        var files: [String: File] = [:]
        let list = unsafe UnsafeBufferPointer(start: CWebPageFiles(), count: Int(CWebPageFileCount()))
        for index in list.indices {
            let entry = unsafe list[index]
            let name = unsafe String(cString: entry.name)
            let bytes = unsafe [UInt8](UnsafeBufferPointer(start: entry.bytes, count: Int(entry.count)))
            let gzip = Gzip.encode(bytes, level: Gzip.smallest)
            files[name] = File(
                name: name, bytes: bytes, gzip: gzip.flatMap { $0.count < bytes.count ? $0 : nil }, contentType: Self.mediaType(of: name),
                tag: Self.tag(bytes))
        }
        self.files = files
    }

    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        let path = request.path
        let folder = path.hasPrefix("/web/") ? "/web/" : "/zipkin/web/"
        guard path.hasPrefix(folder) else { return nil }
        if let refusal = APIReply.refusal(request.method, allow: "GET, HEAD") { return .respond(refusal) }
        guard let file = files[String(path.dropFirst(folder.count))] else {
            return .respond(.text(404, "the page has no such file; after an upgrade, load it again"))
        }
        let gzip = request.acceptsGzip ? file.gzip : nil
        var headers = [
            ("Cache-Control", "no-cache"), ("ETag", gzip == nil ? file.tag : file.gzipTag), ("Vary", "Accept-Encoding"),
        ] + PageReply.securityHeaders
        if let known = request.header("if-none-match"), Self.knows(known, file) {
            return .respond(ServiceResponse(status: 304, headers: headers))
        }
        if gzip != nil { headers.append(("Content-Encoding", "gzip")) }
        return .respond(ServiceResponse(status: 200, contentType: file.contentType, headers: headers, body: gzip ?? file.bytes))
    }

    /// `If-None-Match`: `*` or a list of tags, compared weakly (RFC 9110 13.1.2).
    private static func knows(_ field: String, _ file: File) -> Bool {
        field.split(separator: ",").contains { part in
            let text = part.filter { $0 != " " && $0 != "\t" }
            let tag = text.hasPrefix("W/") ? String(text.dropFirst(2)) : text
            return tag == "*" || tag == file.tag || tag == file.gzipTag
        }
    }

    private static func mediaType(of name: String) -> String {
        if name.hasSuffix(".js") { return "text/javascript; charset=utf-8" }
        if name.hasSuffix(".css") { return "text/css; charset=utf-8" }
        if name.hasSuffix(".svg") { return "image/svg+xml" }
        return "text/html; charset=utf-8"
    }

    /// 64 bits of FNV-1a over the file: the files are ours, so nobody looks for two that agree.
    private static func tag(_ bytes: [UInt8]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return "\"\(String(hash, radix: 16))\""
    }
}
