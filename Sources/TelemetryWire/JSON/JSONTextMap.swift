/// A flat JSON object as names and texts: `{"error":"true","http.status_code":500}`. For queries, not for ingest.
public enum JSONTextMap {
    /// Members of one object.
    public static let membersMax = 64

    public struct Problem: Error, Sendable {
        public var text: String
    }

    /// Strings, numbers and booleans by their text; of a name given twice both stand. Fails with the byte and the reason for anything else.
    public static func parse(_ text: String) throws(Problem) -> [(name: String, value: String)] {
        let result = unsafe Array(text.utf8).withUnsafeBufferPointer { bytes -> Result<[(name: String, value: String)], Problem> in
            var scanner = unsafe JSONScanner(bytes)
            var members: [(name: String, value: String)] = []
            func string(_ part: JSONString) -> String {
                var bytes: [UInt8] = []
                scanner.append(part, to: &bytes)
                return String(decoding: bytes, as: UTF8.self)
            }
            do throws(JSONScanError) {
                if try scanner.openObject() {
                    repeat {
                        guard members.count < membersMax else { return .failure(Problem(text: "more than \(membersMax) members")) }
                        let name = try scanner.key()
                        let value = try scanner.scalarText()
                        members.append((string(name), string(value)))
                    } while try scanner.hasNextMember()
                }
                try scanner.expectEnd()
                return .success(members)
            } catch {
                return .failure(Problem(text: "\(error.fault.text) at byte \(error.offset)"))
            }
        }
        return try result.get()
    }
}
