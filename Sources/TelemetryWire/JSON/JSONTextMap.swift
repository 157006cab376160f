/// A flat JSON object as names and texts: `{"error":"true","http.status_code":500}`. For queries, not for ingest.
public enum JSONTextMap {
    /// Members of one object.
    public static let membersMax = 64

    public struct Problem: Error, Sendable {
        public var text: String
    }

    /// Strings, numbers and booleans by their text; of a name given twice both stand. Fails with the byte and the reason for anything else.
    public static func parse(_ text: String) throws(Problem) -> [(name: String, value: String)] {
        do throws(JSONScanError) {
            let members = try JSONScanner.reading(Array(text.utf8)) { scanner throws(JSONScanError) in try readMembers(&scanner) }
            if members.count <= membersMax { return members }
        } catch {
            throw Problem(text: "\(error.fault.text) at byte \(error.offset)")
        }
        throw Problem(text: "more than \(membersMax) members")
    }

    /// One more than the bound at most.
    private static func readMembers(_ scanner: inout JSONScanner) throws(JSONScanError) -> [(name: String, value: String)] {
        var members: [(name: String, value: String)] = []
        if try scanner.openObject() {
            repeat {
                let name = try scanner.key()
                let value = try scanner.scalarText()
                members.append((string(name, scanner), string(value, scanner)))
                if members.count > membersMax { return members }
            } while try scanner.hasNextMember()
        }
        try scanner.expectEnd()
        return members
    }

    private static func string(_ part: JSONString, _ scanner: JSONScanner) -> String {
        var bytes: [UInt8] = []
        scanner.append(part, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
