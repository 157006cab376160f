internal import Foundation
internal import Glibc

/// A process of the demo, ended with it. Its output goes to a log of its own.
final class Child {
    let name: String
    let log: String
    private let process = Process()
    /// Bytes of the log that `newLines` has given out.
    private var read: UInt64 = 0

    /// Bytes of one log that one look takes; what is beyond comes with the next.
    private static let bytesPerLookMax = 1 << 20

    /// Throws a `DemoProblem` that names what the system refused.
    init(name: String, _ program: String, _ arguments: [String], log: String) throws {
        self.name = name
        self.log = log
        guard FileManager.default.createFile(atPath: log, contents: nil), let output = FileHandle(forWritingAtPath: log) else {
            throw DemoProblem(
                "\(log) cannot be written: \(unsafe String(cString: strerror(errno))); choose another directory with --data DIR")
        }
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        do {
            try process.run()
        } catch {
            throw DemoProblem("\(program) cannot be started: \(error.localizedDescription)")
        }
    }

    var isRunning: Bool { process.isRunning }

    var lastLines: String {
        let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(5).joined(separator: "\n")
    }

    /// Whole lines of the log since the last call.
    func newLines() -> [String] {
        guard let file = FileHandle(forReadingAtPath: log), (try? file.seek(toOffset: read)) != nil,
            let data = try? file.read(upToCount: Self.bytesPerLookMax), let end = data.lastIndex(of: 0x0A)
        else { return [] }
        let whole = data[data.startIndex...end]
        read += UInt64(whole.count)
        return String(decoding: whole, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    func terminate() { if isRunning { process.terminate() } }

    /// True when it ended in time; else it is killed.
    @discardableResult
    func wait(until deadline: Date) -> Bool {
        while isRunning, Date() < deadline { usleep(5_000) }
        let ended = !isRunning
        if !ended { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
        return ended
    }

    /// Seconds that a group of processes gets to end by itself.
    private static let patience: TimeInterval = 5

    /// One group after the other: those that send before those they send to, so that nothing waits for somebody who has gone.
    static func stop(_ groups: [[Child]]) {
        for group in groups {
            for child in group { child.terminate() }
            let deadline = Date().addingTimeInterval(patience)
            for child in group { child.wait(until: deadline) }
        }
    }
}

/// Why the demo cannot run; a sentence for people.
struct DemoProblem: Error {
    var text: String

    init(_ text: String) { self.text = text }
}
