/// The lines of the live screen. Pure: what is shown and how large the terminal is go in, lines of at most its width come out. All text
/// from the server goes through `SafeText` here.
struct TopScreen {
    struct Size: Equatable {
        var columns: Int
        var rows: Int
    }

    let state: TopState
    let size: Size
    let style: TerminalStyle
    let server: String
    let window: String
    /// Seconds, of the clock that `TopState.pictureTime` is of.
    let now: Double

    /// Title, headings, and at the foot what the keys do.
    private static let frameLines = 3
    /// Metrics with too many series that the foot names.
    private static let footMax = 2

    /// Rows of the table that there is room for.
    var tableHeight: Int { max(1, size.rows - Self.frameLines - foot.count) }

    /// As many lines as the terminal has rows.
    func lines() -> [String] {
        var lines = [title]
        switch state.mode {
        case .help: lines += help
        case .details: lines += details
        case .table, .filter: lines += table
        }
        lines = Array(lines.prefix(max(0, size.rows - 1 - foot.count)))
        while lines.count < size.rows - 1 - foot.count { lines.append("") }
        return Array((lines + foot + [keys]).suffix(max(1, size.rows)))
    }

    private func fitted(_ text: String) -> String { SafeText.fitted(text, size.columns) }
    private func painted(_ text: String, _ code: String?) -> String { code.map { style.paint(text, $0) } ?? text }

    // MARK: Around the table

    private var title: String {
        var text = "skein top  \(server)  by \(state.dimension.rawValue)  last \(window)  sorted by \(state.order.rawValue)"
        if !state.filter.isEmpty || state.mode == .filter { text += "  filter: \(SafeText.clean(state.filter))" }
        if state.isPaused { text += "  PAUSED" }
        return painted(fitted(text), TerminalStyle.bold)
    }

    /// What is wrong at the server, and metrics with too many series.
    private var foot: [String] {
        var lines: [String] = []
        if let problem = state.problem {
            let age = state.picture == nil ? "" : "; what you see is \(Int(max(0, now - state.pictureTime))) s old"
            lines.append(painted(fitted(SafeText.clean(problem) + age), TerminalStyle.red))
        }
        for note in state.picture?.notes.prefix(2) ?? [] { lines.append(painted(fitted(SafeText.clean(note)), TerminalStyle.yellow)) }
        let full = state.picture?.fullFamilies ?? []
        if state.dimension != .family {
            for family in full.prefix(Self.footMax) {
                lines.append(painted(fitted(TopFamilyText.sentence(family)), TerminalStyle.yellow))
            }
            if full.count > Self.footMax {
                lines.append(painted(fitted("and \(full.count - Self.footMax) more metrics: --by family"), TerminalStyle.yellow))
            }
        }
        return Array(lines.prefix(max(0, size.rows - Self.frameLines - 1)))
    }

    private var keys: String {
        let text = switch state.mode {
        case .filter: "type a part of a name   Enter keep   Esc clear"
        case .details, .help: "Esc back   q quit"
        case .table: "↑↓ move   / filter   s sort   b by   p pause   Enter details   ? help   q quit"
        }
        return painted(fitted(text), TerminalStyle.dim)
    }

    // MARK: The table

    private var table: [String] {
        guard state.picture != nil else { return [state.problem == nil ? "asking…" : ""].map { fitted($0) } }
        if state.dimension == .family { return familyTable }
        let rows = state.rows
        guard !rows.isEmpty else { return emptyTable }
        let columns = TopColumns.fitting(TopColumns.columns(state.dimension), width: size.columns)
        let nameWidth = max(1, size.columns - columns.reduce(0) { $0 + $1.width + 1 })
        let heading = columns.reduce(SafeText.fitted(state.dimension.title, nameWidth)) {
            $0 + " " + SafeText.fitted($1.title, $1.width, rightAligned: true)
        }
        var lines = [painted(fitted(heading), TerminalStyle.dim)]
        let cursor = state.cursor(in: rows.map(\.name))
        for (index, row) in rows.enumerated().dropFirst(state.offset).prefix(tableHeight) {
            let name = SafeText.fitted(sign(index == cursor) + TopColumns.shown(row.name), nameWidth)
            lines.append(line(painted(name, index == cursor ? TerminalStyle.reverse : nil), name, columns.map { ($0, $0.cell(row)) }))
        }
        return lines
    }

    /// The cursor where there are no colours.
    private func sign(_ isSelected: Bool) -> String { isSelected && !style.isColored ? ">" : "" }

    private func line(_ paintedName: String, _ name: String, _ cells: [(TopColumns.Column, (text: String, color: String?))]) -> String {
        var line = paintedName
        for (column, cell) in cells { line += " " + painted(SafeText.fitted(cell.text, column.width, rightAligned: true), cell.color) }
        // Narrower than the narrowest table: what does not fit is cut, and colours with it.
        let least = cells.reduce(SafeText.width(name)) { $0 + $1.0.width + 1 }
        return least <= size.columns ? line : fitted(cells.reduce(name) { $0 + " " + $1.1.text })
    }

    private var emptyTable: [String] {
        let text = (state.picture?.rows.isEmpty ?? true)
            ? "no requests in the last \(window)" : "no \(state.dimension.rawValue) has \"\(SafeText.clean(state.filter))\" in its name"
        return [fitted(text), fitted("")]
    }

    private var familyTable: [String] {
        let families = state.families
        guard !families.isEmpty else { return [fitted("no metrics")] }
        let nameWidth = max(TopColumns.nameWidthMin, min(48, size.columns / 2))
        let heading = SafeText.fitted(state.dimension.title, nameWidth) + TopFamilyText.heading
        var lines = [painted(fitted(heading), TerminalStyle.dim)]
        let cursor = state.cursor(in: families.map(\.metric))
        for (index, family) in families.enumerated().dropFirst(state.offset).prefix(tableHeight) {
            let text = fitted(TopFamilyText.row(family, sign(index == cursor), nameWidth: nameWidth))
            lines.append(painted(text, index == cursor ? TerminalStyle.reverse : family.overflowedSamples > 0 ? TerminalStyle.red : nil))
        }
        return lines
    }

    // MARK: Details and help

    private var details: [String] {
        if state.dimension == .family {
            let families = state.families
            guard !families.isEmpty else { return [] }
            return TopFamilyText.details(families[state.cursor(in: families.map(\.metric))]).map { fitted($0) }
        }
        let rows = state.rows
        guard !rows.isEmpty else { return [] }
        return TopDetails.lines(rows[state.cursor(in: rows.map(\.name))]).map { fitted($0) }
    }

    private var help: [String] { TopHelp.lines.map { fitted($0) } }
}
