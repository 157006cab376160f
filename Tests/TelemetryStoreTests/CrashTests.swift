import Glibc
import TelemetryModel
import Testing
@testable import TelemetryStore

/// kill -9 in a loop: whatever the child had acknowledged is there when the file is opened again.
@Suite struct CrashTests {
    /// The bench tool that writes until it is killed lies beside the test bundle.
    private var writerPath: String? {
        var path = [CChar](repeating: 0, count: 4096)
        let length = unsafe readlink("/proc/self/exe", &path, path.count - 1)
        guard length > 0 else { return nil }
        var candidates: [String] = []
        let own = String(decoding: path[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        for argument in CommandLine.arguments + [own] {
            guard let slash = argument.lastIndex(of: "/") else { continue }
            candidates.append(argument[..<slash] + "/SpanBench")
        }
        return candidates.first { unsafe access($0, X_OK) == 0 }
    }

    @Test func nothingAcknowledgedIsLost() throws {
        let directory = TemporaryDirectory()
        let program = try #require(writerPath, "build the SpanBench product first")
        var acknowledged: UInt64 = 0
        for round in 0..<6 {
            var ends: [Int32] = [0, 0]
            try #require(unsafe pipe(&ends) == 0)
            var actions = unsafe posix_spawn_file_actions_t()
            unsafe posix_spawn_file_actions_init(&actions)
            unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
            unsafe posix_spawn_file_actions_addclose(&actions, ends[0])
            let arguments = [program, "crash-writer", "--data", directory.path, "--from", "\(acknowledged + 1)", "--head", "2000"]
            var pointers: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) }
            unsafe pointers.append(nil)
            var child: pid_t = 0
            let code = unsafe posix_spawn(&child, program, &actions, nil, pointers, nil)
            unsafe posix_spawn_file_actions_destroy(&actions)
            for unsafe pointer in unsafe pointers { unsafe free(pointer) }
            close(ends[1])
            try #require(code == 0)
            // Killed after so many acknowledgements, at whatever the child is doing then.
            let last = readAcknowledgements(ends[0], after: acknowledged, count: 150 + 97 * round, child)
            #expect(last > acknowledged)
            acknowledged = last
            var status: Int32 = 0
            #expect(unsafe waitpid(child, &status, 0) == child)
            close(ends[0])
            var configuration = StoreConfiguration(directory: directory.path)
            configuration.retentionAgeSeconds = 0
            let store = try TraceStore.open(configuration)
            for number in 1...acknowledged {
                #expect(
                    try store.trace(TraceID(high: 0xC4A5, low: number)).spans.count == 16,
                    "batch \(number) of \(acknowledged), round \(round)")
            }
            #expect(store.statistics().quarantined[.journalRow] == 0)
            store.close()
        }
    }

    /// Reads numbers until `count` have come, then kills and reads what was still in the pipe; returns the last.
    private func readAcknowledgements(_ fd: Int32, after start: UInt64, count: Int, _ child: pid_t) -> UInt64 {
        var buffer = [UInt8](repeating: 0, count: 4096)
        var number: UInt64 = 0
        var last = start
        var seen = 0
        while true {
            let got = unsafe read(fd, &buffer, buffer.count)
            guard got > 0 else { return last }
            for byte in buffer[..<got] {
                if byte == 10 {
                    last = number
                    number = 0
                    seen += 1
                    if seen == count { kill(child, SIGKILL) }
                } else if byte >= 48, byte <= 57 {
                    number = number &* 10 &+ UInt64(byte - 48)
                }
            }
        }
    }
}
