/// A value of an attribute (OTLP common.proto, `AnyValue`), as far as stored spans have types.
public enum OTLPValue: Sendable, Hashable {
    case text(String)
    case integer(Int64)
    case double(Double)
    case boolean(Bool)

    /// Integers beyond this are shown as text: JavaScript, which draws most traces, would round them.
    public static let integerMagnitudeMax: UInt64 = 1 << 53 - 1

    /// The value of a stored tag. Tags are text, so a type is read from it where nothing is lost by that: `true`, `false` and whole numbers
    /// in the form that prints the same. Anything else stays text.
    public init(tag text: String) {
        if text == "true" || text == "false" {
            self = .boolean(text == "true")
        } else if text.utf8.count <= 17, let number = Int64(text), number.magnitude <= Self.integerMagnitudeMax, "\(number)" == text {
            self = .integer(number)
        } else {
            self = .text(text)
        }
    }
}

public struct OTLPAttribute: Sendable, Hashable {
    public var key: String
    public var value: OTLPValue

    public init(_ key: String, _ value: OTLPValue) {
        self.key = key
        self.value = value
    }

    /// Attributes that describe what reported a span rather than the span (OpenTelemetry semantic conventions, resource). In stored spans
    /// both are tags; these keys are taken for the resource's.
    public static func isOfResource(_ key: String) -> Bool { resourcePrefixes.contains { key.hasPrefix($0) } }

    private static let resourcePrefixes = [
        "service.", "telemetry.", "host.", "k8s.", "container.", "cloud.", "deployment.", "os.", "process.", "faas.", "device.",
    ]
}
