@testable import skein
internal import TelemetryModel
import Testing

@Suite struct TopScreenTests {
    private static func row(_ name: String, _ perSecond: Double = 1, failures: Double = 0) -> TopRow {
        var row = TopRow(name: name, labels: ["destination_service": name])
        row.shares = [TopRow.Share(labels: ["response_code": "200"], outcome: .success, perSecond: perSecond - failures)]
        if failures > 0 { row.shares.append(TopRow.Share(labels: ["response_code": "500"], outcome: .failure, perSecond: failures)) }
        (row.p50, row.p95, row.p99, row.retries, row.ejected) = (1.5, 20, 1500, 0, 0)
        return row
    }

    private static func state(_ rows: [TopRow], full: [TopFamily] = []) -> TopState {
        var state = TopState(dimension: .service, order: .wrong)
        state.take(TopPicture(dimension: .service, rows: rows, fullFamilies: full), time: 10)
        return state
    }

    private func screen(_ state: TopState, _ columns: Int = 100, _ rows: Int = 12, now: Double = 10) -> TopScreen {
        TopScreen(
            state: state, size: TopScreen.Size(columns: columns, rows: rows), style: .plain, server: "127.0.0.1:9411", window: "1m",
            now: now)
    }

    private func press(_ state: inout TopState, _ keys: [TopKey], height: Int = 5) -> [TopState.Action] {
        keys.map { state.press($0, height: height) }
    }

    @Test func linesFitWhateverTheSize() {
        let names = ["a", "注文処理サービス", "\u{1B}[31mred", String(repeating: "long", count: 100), "e\u{301}"]
        var state = Self.state(names.map { Self.row($0, failures: 0.1) })
        state.take(problem: "cannot connect to 127.0.0.1:9411: \u{1B}]0;title\u{7}")
        let keys: [[TopKey]] = [[], [.enter], [.escape, .character("?")], [.escape, .character("/"), .character("a")]]
        for keys in keys {
            _ = press(&state, keys)
            for columns in 1...130 {
                for rows in 1...14 {
                    let lines = screen(state, columns, rows).lines()
                    #expect(lines.count == rows, "\(columns) × \(rows)")
                    for line in lines {
                        #expect(SafeText.width(line) <= columns && !line.contains("\u{1B}"), "\(columns) × \(rows): \(line)")
                    }
                }
            }
        }
    }

    @Test func theTable() {
        let lines = screen(Self.state([Self.row("a", 10), Self.row("b", 20, failures: 2)]), 80, 6).lines()
        #expect(lines[0].hasPrefix("skein top  127.0.0.1:9411  by service  last 1m  sorted by wrong"))
        #expect(lines[1].split(separator: " ") == ["SERVICE", "SUCCESS", "RPS", "P50", "P95", "P99", "RETRIES", "EJECTED"])
        #expect(lines[2].split(separator: " ") == [">b", "90.00", "%", "20.0", "1.5ms", "20ms", "1.50s", "0", "0"])
        #expect(lines[3].split(separator: " ") == ["a", "100", "%", "10.0", "1.5ms", "20ms", "1.50s", "0", "0"])
    }

    @Test func narrowScreensKeepWhatMattersMost() {
        let columns = TopColumns.columns(.service)
        func titles(_ width: Int) -> [String] { TopColumns.fitting(columns, width: width).map(\.title) }
        #expect(titles(200).count == 7)
        #expect(titles(60) == ["SUCCESS", "RPS", "P95", "P99"])
        #expect(titles(46) == ["SUCCESS", "RPS", "P95"] && titles(1) == ["SUCCESS", "RPS"])
    }

    @Test func numbersAreShortAndNeverSayMoreThanIsKnown() {
        #expect(TopColumns.percent(0.99999) == "99.99 %" && TopColumns.percent(1) == "100 %" && TopColumns.percent(1e-9) == "0.01 %")
        #expect(TopColumns.percent(0) == "0.00 %" && TopColumns.percent(0.0505) == "5.05 %")
        let rates = [0, 0.001, 0.25, 3.44, 123.4, 12_345, 2.5e7].map { TopColumns.rate($0) }
        #expect(rates == ["0", "<0.01", "0.25", "3.4", "123", "12.3k", "25.0M"])
        #expect([0.44, 15.2, 1500, 90_000].map { TopColumns.milliseconds($0) } == ["0.4ms", "15ms", "1.50s", "1.5min"])
        #expect(TopColumns.milliseconds(nil) == "-" && TopColumns.successText(TopRow(name: "", labels: [:])) == "-")
    }

    /// Rows change places at every answer; whoever looks at one keeps looking at it.
    @Test func theCursorStaysWithItsRow() {
        var state = Self.state(["a", "b", "c", "d"].map { Self.row($0) })
        _ = press(&state, [.down, .down])
        #expect(state.cursor(in: state.names) == 2 && state.names[2] == "c")
        let rows = ["a", "b", "c", "d"].map { Self.row($0, failures: $0 == "c" ? 0.5 : 0) }
        state.take(TopPicture(dimension: .service, rows: rows), time: 12)
        #expect(state.names.first == "c" && state.cursor(in: state.names) == 0)
        _ = press(&state, [.end, .down, .pageDown])
        #expect(state.cursor(in: state.names) == 3)
        _ = press(&state, [.pageUp, .up])
        #expect(state.cursor(in: state.names) == 0)
        // A row that has gone leaves the cursor at the top, where the worst is.
        _ = press(&state, [.end])
        state.take(TopPicture(dimension: .service, rows: [Self.row("a")]), time: 14)
        #expect(state.cursor(in: state.names) == 0)
    }

    @Test func scrollingKeepsTheCursorInSight() {
        var state = Self.state((0..<100).map { Self.row("s\($0 + 100)") })
        var draws = SplitMix(3)
        let keys: [TopKey] = [.up, .down, .pageUp, .pageDown, .home, .end, .down, .down]
        for _ in 0..<2000 {
            let height = 1 + draws.below(20)
            _ = press(&state, [keys[draws.below(keys.count)]], height: height)
            state.scroll(height: height)
            let cursor = state.cursor(in: state.names)
            #expect(state.offset <= cursor && cursor < state.offset + height && state.offset <= max(0, 100 - height))
        }
    }

    @Test func theFilterIsTypedAndTakenBack() {
        var state = Self.state([Self.row("reviews"), Self.row("ratings"), Self.row("Details")])
        _ = press(&state, "/re".map { .character($0) })
        #expect(state.mode == .filter && state.names == ["reviews"])
        _ = press(&state, [.backspace, .backspace] + "DET".map { .character($0) } + [.enter])
        #expect(state.mode == .table && state.names == ["Details"])
        // q is a letter while one types.
        #expect(press(&state, [.character("/"), .character("q")]) == [.none, .none] && state.names.isEmpty)
        _ = press(&state, [.escape])
        #expect(state.names.count == 3 && state.filter.isEmpty)
        _ = press(&state, [.character("/")] + (0..<500).map { _ in .character("x") })
        #expect(state.filter.count == TopState.filterMax)
    }

    @Test func otherRowsAreAskedForAtOnce() {
        var state = Self.state([Self.row("a")])
        #expect(press(&state, [.character("b")]) == [.refresh] && state.dimension == .route && state.picture == nil)
        // An answer about services comes too late.
        state.take(TopPicture(dimension: .service, rows: [Self.row("a")]), time: 11)
        #expect(state.picture == nil)
        #expect(press(&state, [.tab, .tab, .tab, .tab]).allSatisfy { $0 == .refresh } && state.dimension == .service)
        #expect(press(&state, [.interrupt]) == [.quit] && press(&state, [.character("q")]) == [.quit])
    }

    @Test func aPauseKeepsThePictureAndAProblemIsSaidWithItsAge() {
        var state = Self.state([Self.row("a")])
        _ = press(&state, [.character("p")])
        state.take(TopPicture(dimension: .service, rows: [Self.row("b")]), time: 20)
        #expect(state.names == ["a"] && screen(state).lines()[0].contains("PAUSED"))
        _ = press(&state, [.character("p")])
        state.take(problem: "cannot connect")
        let lines = screen(state, now: 17).lines()
        #expect(lines.contains { $0.hasPrefix("cannot connect; what you see is 7 s old") } && lines.contains { $0.contains(">a") })
        state.take(TopPicture(dimension: .service, rows: [Self.row("b")]), time: 20)
        #expect(state.problem == nil && state.names == ["b"])
    }

    @Test func metricsWithTooManySeriesStandAtTheFoot() {
        let full = TopFamily(
            metric: "hits\u{1B}[2J_total", series: 100_000, seriesMax: 100_000, overflowedSeries: 5, overflowedSamples: 9,
            labels: [TopFamily.Label(name: "user_id", values: 99_998)], senders: [])
        let lines = screen(Self.state([Self.row("a")], full: [full, full, full])).lines()
        #expect(lines.count { $0.contains("label user_id has 100.0k values") } == 2 && lines.contains { $0.contains("and 1 more") })
        #expect(!lines.joined().contains("\u{1B}"))
    }

    @Test func whatIsWrongStandsFirst() {
        var quiet = Self.row("z", 1)
        quiet.ejected = 1
        let rows = [Self.row("a", 100), Self.row("b", 10, failures: 1), Self.row("c", 2, failures: 1), quiet, Self.row("d", 5, failures: 2)]
        #expect(TopOrder.wrong.sorted(rows).map(\.name) == ["d", "c", "b", "z", "a"])
        #expect(TopOrder.name.sorted(rows).map(\.name) == ["a", "b", "c", "d", "z"])
        #expect(TopOrder.requests.sorted(rows).map(\.name) == ["a", "b", "d", "c", "z"])
        #expect(TopOrder.success.sorted(rows).map(\.name) == ["c", "d", "b", "a", "z"])
    }

    @Test func topIsKnownToAdvice() {
        #expect(SkeinCommand.advice(for: "tops")?.contains("did you mean `skein top`?") == true)
        #expect(SkeinCommand.advice(for: "top") == nil)
    }
}
