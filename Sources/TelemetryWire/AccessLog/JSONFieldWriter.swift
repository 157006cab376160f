/// Turns the tree of a JSON format into the sequence that a line is written in: the text before each value, the value, the next text.
struct JSONFieldWriter {
    private let hostname: String
    private(set) var fields: [AccessLogFormat.Field] = []
    /// The text since the last value.
    private(set) var prefix: [UInt8] = []
    /// Operators that print as missing whatever happens, each once.
    private(set) var notInEffect: [String] = []

    init(hostname: String) { self.hostname = hostname }

    /// `path` names the value in messages.
    mutating func add(
        _ value: AccessLogFormat.Value, _ path: String, _ environment: (String) -> String?
    ) throws(AccessLogFormatError) {
        switch value {
        case .constant(let text): prefix.append(contentsOf: text.utf8)
        case .template(let template):
            var parser = AccessLogFormatParser(template, hostname: hostname)
            do throws(AccessLogFormatError) {
                fields.append(AccessLogFormat.Field(prefix: prefix, pieces: try parser.pieces(environment)))
            } catch {
                throw AccessLogFormatError(column: error.column, message: "field \(path): \(error.message)")
            }
            prefix = []
            notInEffect += parser.notInEffect.filter { !notInEffect.contains($0) }
        case .object(let members):
            prefix.append(UInt8(ascii: "{"))
            for (index, (key, member)) in members.enumerated() {
                if index > 0 { prefix.append(UInt8(ascii: ",")) }
                prefix.append(UInt8(ascii: "\""))
                prefix.append(jsonEscaping: key)
                prefix.append(ascii: "\":")
                try add(member, path.isEmpty ? key : "\(path).\(key)", environment)
            }
            prefix.append(UInt8(ascii: "}"))
        case .list(let items):
            prefix.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { prefix.append(UInt8(ascii: ",")) }
                try add(item, "\(path)[\(index)]", environment)
            }
            prefix.append(UInt8(ascii: "]"))
        }
    }
}
