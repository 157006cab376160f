/// What the processes of the demo say of a configuration that changed, in as few lines as it takes: six proxies adopt one file.
struct DemoNews {
    private struct Said {
        var names: [String]
        var text: String
        var isBad: Bool
    }

    private var said: [Said] = []
    /// Looks since the first of these lines came: the others are given time to say the same.
    private var age = 0
    private static let looksUntilTold = 3

    /// Takes the new lines of a process's log: those of a change of its configuration.
    mutating func take(_ lines: [String], from name: String) {
        for line in lines {
            guard let (text, isBad) = Self.news(in: line) else { continue }
            if let known = said.firstIndex(where: { $0.text == text }) {
                if !said[known].names.contains(name) { said[known].names.append(name) }
            } else {
                said.append(Said(names: [name], text: text, isBad: isBad))
            }
        }
    }

    /// Called at every look; the lines to print now, each with whether it is bad news.
    mutating func tell(processes: Int) -> [(text: String, isBad: Bool)] {
        guard !said.isEmpty else { return [] }
        age += 1
        guard age >= Self.looksUntilTold else { return [] }
        defer {
            said = []
            age = 0
        }
        return said.map { one in
            let who = one.names.count == processes ? "all \(processes) processes" : one.names.joined(separator: ", ")
            return ("\(who): \(one.text)", one.isBad)
        }
    }

    /// `2026-08-01T12:00:00Z error: a.yaml:3:1: …` without its time and severity; nil for what is no news of a configuration.
    private static func news(in line: String) -> (text: String, isBad: Bool)? {
        let parts = line.split(separator: " ", maxSplits: 2).map(String.init)
        guard parts.count == 3, parts[0].hasSuffix("Z") else { return nil }
        switch parts[1] {
        case "error:": return (parts[2], true)
        case "warning:": return (parts[2], false)
        case "info:":
            // The number differs from process to process.
            guard parts[2].contains("configuration"), parts[2].hasSuffix("adopted") else { return nil }
            return ("the changed configuration is in use", false)
        default: return nil
        }
    }
}
