/// Interned `SourceLabels`; 0 = everything `unknown`.
public struct SourceLabelsID: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt32

    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    public static let none = SourceLabelsID(0)
}

/// Interned `DestinationLabels`; 0 = everything `unknown`.
public struct DestinationLabelsID: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt32

    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    public static let none = DestinationLabelsID(0)
}

/// Who talked to whom, in two halves that become known at different times: the source with a connection, the destination with a route or
/// an endpoint. Joined for each request; text is made of it only at exposition.
public struct LabelPair: Hashable, Sendable, BitwiseCopyable {
    public var source: SourceLabelsID
    public var destination: DestinationLabelsID

    @inlinable
    public init(source: SourceLabelsID = SourceLabelsID(0), destination: DestinationLabelsID = DestinationLabelsID(0)) {
        self.source = source
        self.destination = destination
    }

    /// Both ends unknown.
    public static let none = LabelPair()
    /// Stands for all pairs that a budget had no room for.
    public static let overflow = LabelPair(source: SourceLabelsID(.max), destination: DestinationLabelsID(.max))

    @inlinable
    init(word: UInt64) {
        source = SourceLabelsID(UInt32(truncatingIfNeeded: word >> 32))
        destination = DestinationLabelsID(UInt32(truncatingIfNeeded: word))
    }

    /// The pair as one word.
    @inlinable var word: UInt64 { UInt64(source.rawValue) << 32 | UInt64(destination.rawValue) }
}
