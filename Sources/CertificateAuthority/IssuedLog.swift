/// A certificate that the authority has issued.
public struct IssuedCertificate: Sendable, Hashable {
    public enum Kind: String, Sendable { case workload, server }

    public var kind: Kind
    /// Hexadecimal, lower case.
    public var serial: String
    /// Serial numbers of the certificate that signed it, and of the root above.
    public var authority: String
    public var root: String
    /// Seconds since 1970.
    public var notBefore: Int64
    public var notAfter: Int64
    /// A workload's SPIFFE ID; a server's names and addresses.
    public var names: [String]
    /// Seconds since 1970; nil = it was not revoked.
    public var revokedAt: Int64?

    public enum State: String, Sendable { case valid, expired, revoked }

    public func state(now: Int64) -> State { revokedAt != nil ? .revoked : notAfter < now ? .expired : .valid }
}

/// What was issued and what was revoked, a line each, in the order in which it happened (docs/formats/ca.md). A value; who has it writes
/// what it adds to the file first.
struct IssuedLog {
    static let recordsMax = 65_536
    static let bytesMax = 32 << 20
    static let header = "skein-ca 1\n"
    /// A certificate's line is left out of a new log this long after its end, seconds.
    static let keptAfterEnd: Int64 = 30 * UnixTime.day

    private(set) var records: [IssuedCertificate] = []
    private var places: [String: Int] = [:]
    /// Bytes of whole lines; what is behind them is the beginning of a line whose writer was stopped, and never counted.
    private(set) var wholeBytes = 0

    init() {}

    /// Every line must be readable: a log with a hole would hide a certificate.
    init(_ bytes: [UInt8], file: String) throws(AuthorityError) {
        guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return }
        wholeBytes = end + 1
        for (number, line) in bytes[..<end].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let text = String(decoding: line, as: UTF8.self)
            let isRead = number == 0 ? text + "\n" == Self.header : read(text.split(separator: "\t", omittingEmptySubsequences: false))
            guard isRead else {
                throw AuthorityError(.directory, "\(file):\(number + 1) cannot be read: restore the file, or delete that line")
            }
        }
    }

    subscript(serial: String) -> IssuedCertificate? { places[serial].map { records[$0] } }

    // MARK: Adding

    /// The bytes that say it, for the end of the file.
    func line(of issued: IssuedCertificate) -> [UInt8] {
        let fields = [
            "issued", issued.kind.rawValue, issued.serial, issued.authority, issued.root, "\(issued.notBefore)", "\(issued.notAfter)",
        ]
        return opening + Array((fields + [issued.names.joined(separator: ",")]).joined(separator: "\t").utf8) + [UInt8(ascii: "\n")]
    }

    func lines(revoking serials: [String], at time: Int64) -> [UInt8] {
        opening + serials.flatMap { Array("revoked\t\($0)\t\(time)\n".utf8) }
    }

    private var opening: [UInt8] { wholeBytes == 0 ? Array(Self.header.utf8) : [] }

    /// The file has these bytes now, at its end.
    mutating func didAppend(_ bytes: [UInt8], file: String) throws(AuthorityError) {
        let count = wholeBytes + bytes.count
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let text = String(decoding: line, as: UTF8.self)
            guard text + "\n" == Self.header || read(text.split(separator: "\t", omittingEmptySubsequences: false)) else {
                throw AuthorityError(.system, "\(file): a new line cannot be read")
            }
        }
        wholeBytes = count
    }

    func hasRoom(for bytes: Int) -> Bool { records.count < Self.recordsMax && wholeBytes + bytes <= Self.bytesMax }

    /// The whole file without what has long expired.
    func compacted(now: Int64) -> [UInt8] {
        var log = IssuedLog()
        var bytes: [UInt8] = []
        for record in records where record.notAfter >= now - Self.keptAfterEnd {
            bytes += log.line(of: record)
            log.wholeBytes = bytes.count
            if let time = record.revokedAt { bytes += log.lines(revoking: [record.serial], at: time) }
        }
        return bytes.isEmpty ? Array(Self.header.utf8) : bytes
    }

    // MARK: Reading

    private mutating func read(_ fields: [Substring]) -> Bool {
        switch fields.first {
        case "issued" where fields.count == 8:
            guard let kind = IssuedCertificate.Kind(rawValue: String(fields[1])), let begin = Int64(fields[5]), let end = Int64(fields[6]),
                fields[2...4].allSatisfy(Self.isSerial), places[String(fields[2])] == nil, fields[7].contains(where: { $0 != "," }),
                records.count < Self.recordsMax
            else { return false }
            places[String(fields[2])] = records.count
            records.append(
                IssuedCertificate(
                    kind: kind, serial: String(fields[2]), authority: String(fields[3]), root: String(fields[4]), notBefore: begin,
                    notAfter: end, names: fields[7].split(separator: ",").map(String.init)))
            return true
        case "revoked" where fields.count == 3:
            guard let place = places[String(fields[1])], let time = Int64(fields[2]) else { return false }
            if records[place].revokedAt == nil { records[place].revokedAt = time }
            return true
        default: return false
        }
    }

    /// Hexadecimal, 20 bytes at most (RFC 5280 4.1.2.2).
    static func isSerial(_ text: some StringProtocol) -> Bool {
        (1...40).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) }
    }
}
