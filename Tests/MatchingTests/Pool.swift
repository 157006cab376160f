import HTTP
import Matching
import Primitives

/// Matchers in memory that can be asked about texts.
final class Pool {
    let memory: MatcherMemory

    init(_ builder: MatcherPoolBuilder) { memory = builder.finish() }

    func test(_ matcher: StringMatcher, _ value: String) -> Bool {
        unsafe Array(value.utf8).withUnsafeBytes { unsafe memory.pool.test(matcher, LentBytes($0)) }
    }

    func test(_ pattern: HostPattern, _ host: String) -> Bool {
        unsafe Array(host.utf8).withUnsafeBytes { unsafe memory.pool.test(pattern, LentBytes($0)) }
    }

    func test(_ template: PathTemplate, _ path: String) -> Bool {
        unsafe Array(path.utf8).withUnsafeBytes { unsafe memory.pool.test(template, LentBytes($0)) }
    }

    func test(parameter: NamedMatcher, query: String) -> Bool {
        unsafe Array(query.utf8).withUnsafeBytes { unsafe memory.pool.test(parameter: parameter, query: LentBytes($0)) }
    }

    /// `fields`: whole lines.
    func test(header: NamedMatcher, _ fields: [String]) -> Bool? {
        let bytes = Array(("GET / HTTP/1.1\r\nHost: a\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n").utf8)
        var head = MessageHead()
        var scan = HeadScan()
        return unsafe bytes.withUnsafeBytes { buffer in
            guard unsafe HeadParser.parseRequest(buffer, scan: &scan, limits: HTTPLimits(), into: &head) == .complete else { return nil }
            return memory.pool.test(header: header, head)
        }
    }

    func rewrite(_ rewrite: RegexRewrite, _ path: String) -> String {
        var out = ByteBuffer()
        unsafe Array(path.utf8).withUnsafeBytes { unsafe memory.pool.rewrite(rewrite, LentBytes($0), into: &out) }
        return unsafe LentBytes(out.readable).text
    }
}
