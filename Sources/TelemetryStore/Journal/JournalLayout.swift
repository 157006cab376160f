/// Numbers of the layout of journal rows, which writer and reader share. It is drawn in docs/formats/segment.md.
enum JournalLayout {
    static let version: UInt8 = 1
    /// A row ends after this many spans or bytes.
    static let rowSpansMax = 2048
    static let rowBytesMax = 2 << 20
}

/// What a span of a row has.
enum JournalSpanFlags {
    static let sameTrace: UInt8 = 1
    static let parent: UInt8 = 2
    static let timestamp: UInt8 = 4
    static let duration: UInt8 = 8
}

/// Keys of payloads: six are parts of endpoints, the rest are tag keys by string number.
enum PayloadKey {
    static let localIPv4: UInt32 = 0
    static let localPort: UInt32 = 1
    static let localIPv6: UInt32 = 2
    static let remoteIPv4: UInt32 = 3
    static let remotePort: UInt32 = 4
    static let remoteIPv6: UInt32 = 5
    static let firstString: UInt32 = 8
}
