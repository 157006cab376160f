internal import Matching
internal import Primitives

extension TableView {
    func rewrite(_ entry: RewriteEntry, _ match: Int32, _ path: LentBytes, _ out: inout ByteBuffer) {
        switch entry.path {
        case .unchanged: out.append(path)
        case .uri:
            out.append(bytes(entry.replacement))
            out.append(path.from(replacedCount(match, path)))
        // Too long to be a path: it stays as it is.
        case .regex: rows.matchers.rewrite(entry.regex, path, into: &out)
        }
    }

    /// How much of the path a rewrite replaces: a matched prefix, or all of it; without a condition on the path, the slash (as Envoy's
    /// `prefix: /`).
    private func replacedCount(_ match: Int32, _ path: LentBytes) -> Int {
        guard match >= 0 else { return min(1, path.count) }
        let matcher = rows.matches[Int(match)].path
        switch matcher.kind {
        case .prefix: return min(path.count, matcher.textCount)
        case .any, .present: return min(1, path.count)
        case .exact, .suffix, .regex: return path.count
        }
    }
}
