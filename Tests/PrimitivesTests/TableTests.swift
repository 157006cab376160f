import Primitives
import Testing

@Suite struct TableTests {
    @Test func readsWhatItWasBuiltOf() {
        var arena = TableArena()
        let table = arena.table((0..<1000).map { UInt64($0) * 3 })
        let empty = arena.table([UInt16]())
        #expect(table.count == 1000 && empty.count == 0)
        #expect(table[0] == 0 && table[999] == 2997 && table[UInt32(7)] == 21)
        #expect(unsafe Array(table.buffer(TableRange(start: 5, count: 3))) == [15, 18, 21])
        #expect(unsafe empty.buffer(TableRange()).isEmpty)
        #expect(table.slot(999).entry == 2997)
    }

    /// One that let an index pass would read the memory of others.
    @Test func anIndexOutsideEndsTheProcess() async {
        await #expect(processExitsWith: .failure) {
            var arena = TableArena()
            let table = arena.table([1, 2, 3])
            print(table[table.count])
        }
        await #expect(processExitsWith: .failure) {
            var arena = TableArena()
            print(arena.table([1, 2, 3]).slot(-1).entry)
        }
        await #expect(processExitsWith: .failure) {
            var arena = TableArena()
            let table = arena.table([1, 2, 3])
            print(unsafe table.buffer(TableRange(start: 2, count: 2)).count)
        }
    }

    @Test func firstIndexIsThatOfABinarySearch() {
        var arena = TableArena()
        let table = arena.table([9, 1, 3, 3, 5, 0])
        let range = TableRange(start: 1, count: 4)
        for (wanted, index) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 5)] {
            #expect(table.firstIndex(range) { $0 >= wanted } == index, "\(wanted)")
        }
        #expect(table.firstIndex(TableRange(start: 2, count: 0)) { _ in true } == 2)
    }

    @Test func growing() {
        var table = GrowingTable<UInt8>()
        #expect(table.add(7) == 0)
        let text = table.add(text: "abc")
        #expect(text.start == 1 && text.count == 3 && table.range(from: 2).count == 2)
        #expect(table.withBytes(text) { $0.text } == "abc")
        #expect(table.add(contentsOf: []).isEmpty)
    }
}

@Suite struct LentBytesTests {
    static func with<Result>(_ text: String, _ body: (LentBytes) -> Result) -> Result {
        unsafe Array(text.utf8).withUnsafeBytes { unsafe body(LentBytes($0)) }
    }

    @Test func parts() {
        Self.with("a=bc") { bytes in
            #expect(bytes.prefix(1) == "a" && bytes.suffix(2) == "bc" && bytes.from(4).isEmpty && bytes[1..<3] == "=b")
            #expect(bytes.index(of: UInt8(ascii: "="), from: 0) == 1 && bytes.index(of: UInt8(ascii: "="), from: 2) == 4)
            #expect(bytes.hasPrefix(LentBytes("a=")) && !bytes.hasPrefix(LentBytes("a=bcd")) && bytes.hasSuffix(LentBytes()))
            #expect(bytes.equalsIgnoringCase(LentBytes("A=BC")) && !(bytes == "A=BC"))
        }
        Self.with("A.B-ÄZ") { bytes in #expect(bytes.withLowercased(\.text) == "a.b-Äz") }
        #expect(LentBytes().withLowercased(\.count) == 0)
        #expect(LentBytes().isEmpty && LentBytes().text == "" && LentBytes().hasSuffix(LentBytes()))
    }

    @Test func aRangeOutsideEndsTheProcess() async {
        await #expect(processExitsWith: .failure) { LentBytesTests.with("ab") { print($0.prefix(3).count) } }
        await #expect(processExitsWith: .failure) { LentBytesTests.with("ab") { print($0[2]) } }
    }
}
