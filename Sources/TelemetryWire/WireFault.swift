/// Why some bytes of a message are not what its format asks for. Text appears only when somebody prints it.
public enum WireFault: UInt8, Sendable, BitwiseCopyable {
    // JSON (RFC 8259)
    case unexpectedEnd, unexpectedByte, trailingBytes, controlCharacter, invalidEscape, tooDeep
    case expectedObject, expectedArray, expectedString, expectedInteger, expectedBoolean, numberOutOfRange, invalidNumber
    // Zipkin v2 (semantics 2.11)
    case missingTraceID, missingID, emptyIdentifier, identifierTooLong, identifierNotLowerHex, identifierAllZeros
    case unknownKind, incompleteAnnotation, portOutOfRange, expectedList, receivedV1, receivedV2, bodyTooLarge
    // Zipkin v1
    case expectedListV1, binaryAnnotationWithoutKey
    // Zipkin protobuf
    case expectedListProtobuf
    // Protobuf
    case truncated, varintTooLong, invalidTag, unknownWireType, wrongWireType, lengthOutOfRange
    // OTLP/JSON
    case invalidHex, expectedNumber, invalidBase64
    // Remote write
    case repeatedLabel, tooMany, seriesWithoutLabels, unknownSymbol, halfLabel, invalidHistogram, invalidUTF8

    public var text: String {
        switch self {
        case .unexpectedEnd: "the text ends in the middle of a value"
        case .unexpectedByte: "unexpected character"
        case .trailingBytes: "more text after the end of the value"
        case .controlCharacter: "unescaped control character in a string"
        case .invalidEscape: "invalid escape; accepted are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"
        case .tooDeep: "values are nested too deeply"
        case .expectedObject: "expected an object"
        case .expectedArray: "expected an array"
        case .expectedString: "expected a string"
        case .expectedInteger: "expected an integer, as a number or in a string"
        case .expectedBoolean: "expected true or false"
        case .numberOutOfRange: "the number does not fit in 64 bits; accepted are -9223372036854775808 to 9223372036854775807"
        case .invalidNumber: "invalid number"
        case .missingTraceID: "traceId is missing; accepted are 1 to 32 lower-hex digits"
        case .missingID: "id is missing; accepted are 1 to 16 lower-hex digits"
        case .emptyIdentifier: "the identifier is empty; traceId has 1 to 32 lower-hex digits, id and parentId 1 to 16"
        case .identifierTooLong: "the identifier is too long; traceId has at most 32 digits, id and parentId at most 16"
        case .identifierNotLowerHex: "the identifier should be lower-hex encoded with no prefix; accepted are the digits 0-9 and a-f"
        case .identifierAllZeros: "the identifier is all zeros; one digit at least is not 0"
        case .unknownKind: "unknown kind; accepted are CLIENT, SERVER, PRODUCER, CONSUMER"
        case .incompleteAnnotation: "incomplete annotation; timestamp and value are required"
        case .portOutOfRange: "invalid port; accepted are 0 to 65535"
        case .expectedList: "Expected a JSON_V2 encoded list"
        case .receivedV1: "Expected a JSON_V2 encoded list, but received: JSON_V1"
        case .expectedListV1: "Expected a JSON_V1 encoded list"
        case .expectedListProtobuf: "Expected a PROTO3 encoded list"
        case .receivedV2: "Expected a JSON_V1 encoded list, but received: JSON_V2"
        case .binaryAnnotationWithoutKey: "no key; a binary annotation needs one"
        case .bodyTooLarge: "the batch would hold more than 4 GiB of text"
        case .truncated: "the message ends in the middle of a field"
        case .varintTooLong: "a varint is longer than ten bytes"
        case .invalidTag: "a field has number zero or a number out of range"
        case .unknownWireType: "an unknown wire type, or a group that is not closed"
        case .wrongWireType: "a field has the wrong wire type"
        case .lengthOutOfRange: "a length points past the end of the message"
        case .invalidHex: "the identifier is not hexadecimal or has the wrong length"
        case .expectedNumber: "expected a number"
        case .invalidBase64: "invalid base64"
        case .repeatedLabel: "a series has a label twice"
        case .tooMany: "a list has more entries than are taken"
        case .seriesWithoutLabels: "a series has no labels"
        case .unknownSymbol: "a label refers to a symbol that is not in the table"
        case .halfLabel: "the references of a series' labels are not pairs of name and value"
        case .invalidHistogram: "a histogram has spans and counts that do not agree, or a schema that is not known"
        case .invalidUTF8: "a text is not UTF-8"
        }
    }
}
