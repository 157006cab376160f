/// Suggests what was probably meant. Cold code: it allocates.
public enum EditDistance {
    /// The closest candidate, when close enough to be a slip of the finger: a third of its letters at most.
    public static func nearest(to name: String, among candidates: [String]) -> String? {
        let wanted = name.lowercased()
        guard wanted.utf8.count <= 64 else { return nil }
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            let distance = between(Array(wanted.utf8), Array(candidate.lowercased().utf8))
            if distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        guard let best, best.distance <= max(2, max(best.candidate.count, wanted.count) / 3) else { return nil }
        return best.candidate
    }

    /// Levenshtein distance with transposition of neighbours, in bytes.
    public static func between(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var older = [Int](repeating: 0, count: right.count + 1)
        var previous = Array(0...right.count)
        for row in left.indices {
            var current = [row + 1]
            current.reserveCapacity(right.count + 1)
            for column in right.indices {
                let same = left[row] == right[column]
                var cost = min(previous[column] + (same ? 0 : 1), previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    cost = min(cost, older[column - 1] + 1)
                }
                current.append(cost)
            }
            older = previous
            previous = current
        }
        return previous[right.count]
    }
}
