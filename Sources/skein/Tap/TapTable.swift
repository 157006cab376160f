internal import Foundation
internal import Glibc

/// Requests as lines whose columns align whatever comes next: widths are fixed before the first line, from the width of the terminal.
struct TapTable {
    /// Nil = not a terminal: what is too long moves the columns behind it, and nothing is cut.
    let columns: Int?
    let style: TerminalStyle
    private let parser = ISO8601DateFormatter()
    private let format = DateFormatter()

    init(columns: Int?, style: TerminalStyle) {
        self.columns = columns
        self.style = style
        parser.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        format.dateFormat = "HH:mm:ss.SSS"
    }

    private static let titles = ["TIME", "FROM", "TO", "METHOD", "STATUS", "TOOK", "FLAGS", "PATH", "WHY"]
    /// Of all columns but the last two.
    private static let widths = [12, 20, 24, 7, 6, 8, 6]
    /// Where a terminal is narrow, FROM and TO shrink to this.
    private static let nameMin = 10
    private static let pathMin = 16

    /// Of the terminal that stdout is.
    static var terminalColumns: Int? { isatty(STDOUT_FILENO) == 1 ? TerminalSession.size.columns : nil }

    var heading: String { style.paint(line(Self.titles), TerminalStyle.dim) }

    func line(_ record: TapRecord) -> String {
        let status = record.response_code ?? 0
        let flags = record.response_flags == "-" ? "" : record.response_flags ?? ""
        let text = line([
            clock(record.start_time ?? ""), record.from, record.to, record.method ?? "-", status == 0 ? "-" : "\(status)",
            TraceView.duration(record.duration_us ?? 0), flags, record.path ?? "-", record.reason,
        ])
        switch status {
        case 1..<400 where flags.isEmpty: return text
        case 400..<500: return style.paint(text, TerminalStyle.yellow)
        default: return style.paint(text, TerminalStyle.red)
        }
    }

    func dropped(_ count: UInt64) -> String {
        style.paint("\(count) requests more passed at once than could be sent here", TerminalStyle.yellow)
    }

    private func line(_ cells: [String]) -> String {
        let widths = self.widths
        var line = ""
        for (index, cell) in cells.enumerated() {
            let clean = SafeText.clean(cell)
            let isLast = index == cells.count - 1
            if let columns {
                let room = max(0, min(widths[index], columns - SafeText.width(line)))
                line += SafeText.fitted(clean, room, rightAligned: index == 5 && cell != "TOOK")
            } else {
                line += isLast ? clean : SafeText.fitted(clean, max(widths[index], SafeText.width(clean)))
            }
            if !isLast { line += "  " }
        }
        while line.last == " " { line.removeLast() }
        if let columns, SafeText.width(line) > columns { line = SafeText.fitted(line, columns) }
        return line
    }

    private var widths: [Int] {
        guard let columns else { return Self.widths + [30, 0] }
        var widths = Self.widths
        let gaps = 2 * (Self.titles.count - 1)
        var rest = columns - gaps - widths.reduce(0, +)
        for index in [2, 1] where rest < 2 * Self.pathMin {
            let taken = min(widths[index] - Self.nameMin, 2 * Self.pathMin - rest)
            widths[index] -= max(0, taken)
            rest += max(0, taken)
        }
        let path = max(Self.pathMin, rest * 3 / 5)
        return widths + [path, max(0, rest - path)]
    }

    /// `2026-11-30T12:00:00.123Z` in this place's time of day.
    private func clock(_ text: String) -> String { parser.date(from: text).map { format.string(from: $0) } ?? text }
}
