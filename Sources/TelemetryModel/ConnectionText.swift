/// One thing that a connection's TLS tells, as access logs name it. Text, but for the two times: nanoseconds since 1970, a little-endian
/// `UInt64`.
public enum ConnectionText: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// What the client asked for (SNI).
    case serverName
    /// Why TLS did not come about, in Envoy's form.
    case failureReason
    case version, cipher, sessionID
    case peerURIs, peerHosts, peerAddresses, peerEmails, peerSubject, peerIssuer, peerSerial
    /// SHA-256 and SHA-1 of the certificate, hexadecimal.
    case peerFingerprint256, peerFingerprint1
    /// PEM, with `%XX` for what a URL escapes.
    case peerCertificate
    case peerNotBefore, peerNotAfter
    case localURIs, localHosts, localAddresses, localEmails, localSubject
}

/// Which end of the proxy a connection is on.
public enum ConnectionEnd: UInt8, Sendable, BitwiseCopyable {
    case downstream, upstream
}

/// Some of the texts.
public struct ConnectionTextSet: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public init(_ text: ConnectionText) { rawValue = 1 << UInt32(text.rawValue) }

    public func contains(_ text: ConnectionText) -> Bool { contains(ConnectionTextSet(text)) }
}

/// The texts that are made of each connection when its handshake ends, because a log or span shows them.
public struct ConnectionTextChoice: Hashable, Sendable, BitwiseCopyable {
    public var downstream: ConnectionTextSet
    public var upstream: ConnectionTextSet

    public init(downstream: ConnectionTextSet = [], upstream: ConnectionTextSet = []) {
        self.downstream = downstream
        self.upstream = upstream
    }

    /// What every record has: `skein logs` prints it.
    public static let standard = ConnectionTextChoice(downstream: ConnectionTextSet(.serverName))

    public mutating func insert(_ text: ConnectionText, of end: ConnectionEnd) {
        if end == .downstream { downstream.insert(ConnectionTextSet(text)) } else { upstream.insert(ConnectionTextSet(text)) }
    }

    public mutating func formUnion(_ other: ConnectionTextChoice) {
        downstream.formUnion(other.downstream)
        upstream.formUnion(other.upstream)
    }
}

/// How the texts of a connection lie in its records: for each the kind, one byte, its length, two bytes with the low one first, its bytes.
/// The texts say themselves which they are, so records that were written under an older configuration are read right.
public enum ConnectionTextCoding {
    /// Of all texts of one connection; further ones are left out.
    public static let bytesMax = 16 << 10
    /// Of one text; longer ones are cut. A certificate of an RSA key of 4,096 bits takes about 3,000.
    public static let textBytesMax = 6 << 10
    static let headBytes = 3

    public static func append(_ kind: ConnectionText, _ text: some Collection<UInt8>, to bytes: inout [UInt8]) {
        let count = min(text.count, textBytesMax)
        guard count > 0, bytes.count + headBytes + count <= bytesMax else { return }
        bytes += [kind.rawValue, UInt8(truncatingIfNeeded: count), UInt8(truncatingIfNeeded: count >> 8)]
        bytes += text.prefix(count)
    }

    /// Where a text lies; nil = it is not there.
    public static func place(of kind: ConnectionText, in bytes: UnsafeRawBufferPointer) -> Range<Int>? {
        var at = 0
        while at + headBytes <= bytes.count {
            let count = unsafe Int(bytes[at + 1]) | Int(bytes[at + 2]) << 8
            let start = at + headBytes
            guard start + count <= bytes.count else { return nil }
            if unsafe bytes[at] == kind.rawValue { return start..<start + count }
            at = start + count
        }
        return nil
    }
}
