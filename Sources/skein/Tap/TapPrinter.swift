internal import Foundation

/// Cuts the stream of a tap into lines, and prints those that are wanted.
struct TapPrinter {
    /// A line that is longer is no record.
    private static let lineBytesMax = 1 << 20

    let table: TapTable
    let isJSON: Bool
    /// Requests still to be shown; nil = no end.
    var left: Int?
    /// Parts of names, in lower case.
    private let service, from, to: String?
    private var rest: [UInt8] = []

    /// As many were shown as were asked for, or nobody reads them any more.
    private(set) var isDone = false

    init(table: TapTable, isJSON: Bool, left: Int?, service: String?, from: String?, to: String?) {
        self.table = table
        self.isJSON = isJSON
        self.left = left
        self.service = service?.lowercased()
        self.from = from?.lowercased()
        self.to = to?.lowercased()
    }

    mutating func begin() {
        if !isJSON { show(table.heading) }
    }

    /// More of the stream; false = no more is wanted.
    mutating func take(_ bytes: [UInt8]) -> Bool {
        rest += bytes
        var start = 0
        while !isDone, let end = rest[start...].firstIndex(of: 0x0A) {
            print(Array(rest[start..<end]))
            start = end + 1
        }
        rest.removeFirst(min(start, rest.count))
        if rest.count > Self.lineBytesMax { rest = [] }
        return !isDone
    }

    private mutating func print(_ line: [UInt8]) {
        guard !line.isEmpty, let record = try? JSONDecoder().decode(TapRecord.self, from: Data(line)) else { return }
        if let dropped = record.dropped {
            // In JSON it is a line of its own kind.
            show(isJSON ? String(decoding: line, as: UTF8.self) : table.dropped(dropped))
            return
        }
        guard Self.has(record.serviceNames, service), Self.has(record.fromNames, from), Self.has(record.toNames, to) else { return }
        show(isJSON ? SafeText.escaped(json: String(decoding: line, as: UTF8.self)) : table.line(record))
        guard let count = left else { return }
        left = count - 1
        if count <= 1 { isDone = true }
    }

    private static func has(_ names: [String], _ wanted: String?) -> Bool {
        guard let wanted else { return true }
        return names.contains { $0.lowercased().contains(wanted) }
    }

    private mutating func show(_ line: String) {
        if !TerminalSession.write(line + "\n") { isDone = true }
    }
}
