@testable import HTTP
import Primitives
import Testing

@Suite struct FieldLinesTests {
    private func buffer(_ text: String) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.append(string: text)
        return buffer
    }

    private func text(_ buffer: borrowing ByteBuffer) -> String { unsafe String(decoding: buffer.readable, as: UTF8.self) }

    private func isCalled(_ name: UnsafeRawBufferPointer, _ names: [String]) -> Bool {
        names.contains { unsafe $0.utf8.elementsEqual(name.lazy.map { ASCII.lower($0) }) }
    }

    /// The first, the last, two in a row, all and none; values with colons, and names that only begin alike.
    @Test(arguments: [
        (["a"], "B: 2\r\nA-b: 3:4\r\nc: \r\n"), (["c"], "A: 1\r\nB: 2\r\nA-b: 3:4\r\n"), (["a", "b"], "A-b: 3:4\r\nc: \r\n"),
        (["a", "b", "a-b", "c"], ""), (["d", "3"], "A: 1\r\nB: 2\r\nA-b: 3:4\r\nc: \r\n"),
    ] as [([String], String)])
    func takesOutLinesByName(_ names: [String], _ left: String) {
        var lines = buffer("A: 1\r\nB: 2\r\nA-b: 3:4\r\nc: \r\n")
        let count = lines.count
        unsafe FieldLines.remove(from: &lines, in: 0..<count) { unsafe isCalled($0, names) }
        #expect(text(lines) == left)
    }

    /// What stands before and behind the place stays, whatever it is called: the start line, and what the operator adds.
    @Test func keepsToItsPlace() {
        let start = "GET /a HTTP/1.1\r\n"
        let old = "a: 1\r\nb: 2\r\na: 3\r\n"
        var lines = buffer(start + old + "a: operator\r\n")
        unsafe FieldLines.remove(from: &lines, in: start.utf8.count..<(start + old).utf8.count) { unsafe isCalled($0, ["a"]) }
        #expect(text(lines) == start + "b: 2\r\na: operator\r\n")
    }

    @Test(arguments: [("X-A", "1"), ("x-b", "2 3"), ("x-c", ""), ("x", nil), ("x-abc", nil)] as [(String, String?)])
    func findsTheFirstValue(_ name: String, _ value: String?) {
        let lines = buffer("x-ab: 0\r\nx-a: 1\r\nX-B:  2 3 \r\nx-c: \r\nx-a: 9\r\n")
        let found = unsafe Array(name.utf8).withUnsafeBytes { name in unsafe FieldLines.value(of: name, in: lines.readable, from: 0).map { unsafe String(decoding: $0, as: UTF8.self) } }
        #expect(found == value)
    }

    /// Pseudo-header fields are not the operator's to take away, and what is counted is what is sent.
    @Test func takesFieldsOutOfAListToBeSent() {
        var list = HTTP2FieldList()
        list.begin()
        list.add(":status", "200")
        list.add("date", "now")
        list.add("x-a", decimal: 12)
        list.add("date", "then")
        unsafe list.remove { unsafe isCalled($0, ["date", ":status"]) }
        #expect(list.count == 2 && list.byteCount == ":status200x-a12".utf8.count)
    }
}
