/// Replacements within one text. None of them spans or adds a line.
struct TextEdits {
    struct Edit {
        /// Bytes of the text before.
        var range: Range<Int>
        var replacement: String
    }

    private(set) var edits: [Edit] = []

    mutating func replace(_ range: Range<Int>, by replacement: String) { edits.append(Edit(range: range, replacement: replacement)) }

    mutating func insert(_ text: String, at offset: Int) { replace(offset..<offset, by: text) }

    mutating func add(_ others: TextEdits) { edits += others.edits }

    /// Nil where two edits overlap, or one is outside the text or breaks a line: nothing is changed then.
    func applied(to bytes: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + 64 * edits.count)
        var place = 0
        // Insertions at one place keep their order.
        for edit in edits.enumerated().sorted(by: { ($0.element.range.lowerBound, $0.offset) < ($1.element.range.lowerBound, $1.offset) })
            .map(\.element)
        {
            guard edit.range.lowerBound >= place, edit.range.upperBound <= bytes.count else { return nil }
            guard !bytes[edit.range].contains(UInt8(ascii: "\n")), !edit.replacement.utf8.contains(UInt8(ascii: "\n")) else { return nil }
            result += bytes[place..<edit.range.lowerBound]
            result += Array(edit.replacement.utf8)
            place = edit.range.upperBound
        }
        result += bytes[place...]
        return result
    }
}

/// What changed between two texts with the same number of lines, as `diff -u` writes it and `patch` reads it.
enum UnifiedDiff {
    /// Lines around a change.
    private static let context = 3

    /// Empty when nothing changed.
    static func text(name: String, before: [UInt8], after: [UInt8]) -> String {
        let old = before.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let new = after.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        guard old.count == new.count else { return "" }
        // A text that ends with a line break has an empty piece after it, which is no line.
        let count = old.last?.isEmpty ?? true ? old.count - 1 : old.count
        let changed = (0..<count).filter { old[$0] != new[$0] }
        guard !changed.isEmpty else { return "" }
        var result = "--- \(name)\n+++ \(name)\n"
        var index = 0
        while index < changed.count {
            var end = index
            while end + 1 < changed.count, changed[end + 1] - changed[end] <= 2 * context { end += 1 }
            let first = max(0, changed[index] - context)
            let last = min(count - 1, changed[end] + context)
            result += "@@ -\(first + 1),\(last - first + 1) +\(first + 1),\(last - first + 1) @@\n"
            var line = first
            while line <= last {
                var stop = line
                while stop <= last, old[stop] != new[stop] { stop += 1 }
                if stop == line {
                    result += row(" ", old, line)
                    line += 1
                    continue
                }
                for place in line..<stop { result += row("-", old, place) }
                for place in line..<stop { result += row("+", new, place) }
                line = stop
            }
            index = end + 1
        }
        return result
    }

    private static func row(_ mark: String, _ lines: [ArraySlice<UInt8>], _ index: Int) -> String {
        let text = mark + String(decoding: lines[index], as: UTF8.self) + "\n"
        return index == lines.count - 1 ? text + "\\ No newline at end of file\n" : text
    }
}
