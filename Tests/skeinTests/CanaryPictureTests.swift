import ArgumentParser
import Foundation
import Testing

@testable import skein

/// What `skein canary` makes of an answer.
@Suite struct CanaryPictureTests {
    private static func picture(_ verdict: String, name: String = "v2 of shop:80", isOver: Bool = false) throws -> CanaryPicture {
        func destination(_ name: String, _ errors: Int) throws -> String {
            """
            {"name": \(String(decoding: try JSONEncoder().encode(name), as: UTF8.self)), "requests": 1000, "errors": \(errors),
             "errorRate": 0.0\(errors), "meanMilliseconds": 12.5,
             "p50Milliseconds": {"value": 12, "low": 11, "high": 13, "isBeyondBounds": false},
             "p95Milliseconds": {"value": 3600000, "low": 1, "high": 3600000, "isBeyondBounds": true},
             "p99Milliseconds": null}
            """
        }
        let text = """
            {"verdict": "\(verdict)", "reason": "errors: too \\u001b[31mmany", "subject": "route default/shop",
             "decidedAtUnixMilliseconds": null, "startUnixMilliseconds": 0,
             "endUnixMilliseconds": 600000, "comparedFromUnixMilliseconds": 60000,
             "stepMilliseconds": 10000, "steps": 9,
             "isOver": \(isOver), "startIsFloating": true, "confidence": 0.99, "minRequests": 200, "meanRatio": 1.25,
             "stable": \(try destination("v1 of shop:80", 0)), "canary": \(try destination(name, 5)),
             "tests": [{"measure": "errors", "outcome": "worse", "boundMilliseconds": null, "stable": 0, "canary": 0.05,
               "difference": 0.05,
               "differenceLow": 0.01, "differenceHigh": 0.08, "margin": 0.005, "dispersion": 1, "worse": {"evidence": 9, "needed": 6},
               "within": {"evidence": 0, "needed": 4.6}},
              {"measure": "slow_high", "outcome": "undecided", "boundMilliseconds": 25, "stable": 0.02, "canary": 0.02,
               "difference": 0,
               "differenceLow": -1, "differenceHigh": 1, "margin": 0.05, "dispersion": 1.5, "worse": {"evidence": 0, "needed": 6},
               "within": {"evidence": 2.3, "needed": 4.6}}]}
            """
        return try JSONDecoder().decode(CanaryPicture.self, from: Data(text.utf8))
    }

    @Test func showsVerdictSharesAndEvidenceInColumns() throws {
        let lines = try Self.picture("rollback").lines(style: .plain)
        #expect(lines[0].hasPrefix("ROLLBACK  errors: too"))
        #expect(lines[1].contains("9 steps of 10 s, confidence 99.0 %"))
        #expect(lines.contains { $0.contains("--start") })
        let rows = lines.map { $0.split(separator: " ").joined(separator: " ") }
        #expect(rows.contains("canary 1000 5.00 % 12.5 ms 12.0 ms (11.0-13.0) > 3600000 ms - v2 of shop:80"))
        #expect(rows.contains("failed 0.00 % 5.00 % 1.00 % to 8.00 % 0.50 % 100 % worse worse"))
        #expect(rows.contains("slower than 25.0 ms 2.00 % 2.00 % -100 % to 100 % 5.00 % 50 % within undecided"))
    }

    /// Names come from whoever reports.
    @Test func namesDoNothingToATerminal() throws {
        let lines = try Self.picture("wait", name: "v2\u{1B}]0;title\u{7}\u{202E}").lines(style: .plain)
        #expect(!lines.joined().unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x202E })
    }

    @Test func aWatchEndsWithAVerdictOrWhenTheTimeIsOver() throws {
        #expect(try Self.picture("promote").isFinal && Self.picture("rollback").isFinal && Self.picture("wait", isOver: true).isFinal)
        #expect(try !Self.picture("wait").isFinal && !Self.picture("no_data").isFinal)
        #expect(try Self.picture("no_data").line.contains("no data: "))
    }

    @Test func oneSubjectIsAskedFor() {
        #expect(throws: (any Error).self) { try CanaryCommand.parse([]) }
        #expect(throws: (any Error).self) { try CanaryCommand.parse(["--route", "a", "--service", "b"]) }
        #expect(throws: (any Error).self) { try CanaryCommand.parse(["--service", "a", "--host", "b"]) }
        #expect(throws: (any Error).self) { try CanaryCommand.parse(["--route", "a", "--since", "1h", "--start", "1"]) }
        #expect(throws: Never.self) { try CanaryCommand.parse(["--route", "default/shop", "--canary", "v2", "--watch"]) }
    }
}
