/// Columns that align: each as wide as its widest cell, two blanks apart. The first row is the header.
struct TextTable {
    private var rows: [[String]]

    init(_ header: [String]) { rows = [header] }

    mutating func add(_ row: [String]) { rows.append(row) }

    /// `color` gives the colour of a cell, by row (from 0, without the header) and column; nil = none.
    func lines(style: TerminalStyle, color: (Int, Int) -> String? = { _, _ in nil }) -> [String] {
        let widths = (rows.first ?? []).indices.map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.enumerated().map { index, row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let isLast = column == row.count - 1
                let padding = isLast ? "" : String(repeating: " ", count: widths[column] - cell.count + 2)
                let code = index == 0 ? TerminalStyle.dim : color(index - 1, column)
                line += (code.map { style.paint(cell, $0) } ?? cell) + padding
            }
            return line
        }
    }
}
