/// Why a text is not JSON as we take it (RFC 8259).
public enum JSONFault: Error, Sendable, Hashable, CustomStringConvertible {
    case tooLong, truncated, unexpectedCharacter, trailingCharacters
    case controlCharacter, badEscape, loneSurrogate, invalidUTF8, badNumber
    case tooDeep, tooManyValues, tooManyMembers
    /// RFC 8259 4 leaves it open which of two members counts; RFC 7515 4 and RFC 7519 4 let us refuse them.
    case duplicateMember
    /// JSON, but a list or a scalar where an object is due.
    case notObject

    public var description: String {
        switch self {
        case .tooLong: "it is too long"
        case .truncated: "it ends too early"
        case .unexpectedCharacter: "a character is not expected where it is"
        case .trailingCharacters: "something follows its end"
        case .controlCharacter: "a string has a control character"
        case .badEscape: "a string has an escape that does not exist"
        case .loneSurrogate: "a string has half of a surrogate pair"
        case .invalidUTF8: "a string is not UTF-8"
        case .badNumber: "a number is not written as JSON wants it"
        case .tooDeep: "it is nested too deeply"
        case .tooManyValues: "it has too many values"
        case .tooManyMembers: "an object has too many members"
        case .duplicateMember: "an object has two members of one name"
        case .notObject: "it is not an object"
        }
    }
}

/// Bounds of one text.
struct JSONLimits {
    var bytes: Int
    var depth: Int
    var values: Int
    var membersOfObject: Int
}
