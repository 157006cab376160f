/// Members behind those of a JSON line that is there already. Any thread; appends to the caller's bytes.
public enum JSONLine {
    /// Adds texts and numbers to the object in which `line` ends (`{…}` and a line feed). A line that ends otherwise stays as it is.
    public static func extend(
        _ line: inout [UInt8], texts: [(name: StaticString, value: String)], numbers: [(name: StaticString, value: UInt64)]
    ) {
        guard line.count >= 2, line[line.count - 1] == 0x0A, line[line.count - 2] == UInt8(ascii: "}") else { return }
        line.removeLast(2)
        for (name, value) in texts {
            begin(name, &line)
            line.append(UInt8(ascii: "\""))
            line.append(jsonEscaping: value)
            line.append(UInt8(ascii: "\""))
        }
        for (name, value) in numbers {
            begin(name, &line)
            line.append(decimal: value)
        }
        line.append(ascii: "}\n")
    }

    private static func begin(_ name: StaticString, _ line: inout [UInt8]) {
        line.append(ascii: ",\"")
        line.append(ascii: name)
        line.append(ascii: "\":")
    }
}
