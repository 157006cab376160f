import Primitives
import Synchronization
import Testing

@testable import HTTPService

/// A scanner must not fill the disk with lines, nor hide that it was there.
@Suite struct ServiceNoticesTests {
    private final class Lines: Sendable {
        let state = Mutex<[String]>([])
        var all: [String] { state.withLock { $0 } }
    }

    @Test func linesAreBoundedAndTheRestIsCounted() {
        let lines = Lines()
        var notices = ServiceNotices { line in lines.state.withLock { $0.append(line) } }
        let begin = MonotonicInstant(nanoseconds: 5)
        for number in 0..<100 { notices.note("line \(number)", now: begin + UInt64(number)) }
        #expect(lines.all == (0..<ServiceNotices.linesMax).map { "line \($0)" })
        notices.note("later", now: begin + ServiceNotices.windowNanoseconds)
        #expect(lines.all.suffix(2) == ["80 more like this were not logged", "later"])
        notices.note("last", now: begin + 3 * ServiceNotices.windowNanoseconds)
        #expect(lines.all.last == "last" && lines.all.count == ServiceNotices.linesMax + 3)
    }
}
