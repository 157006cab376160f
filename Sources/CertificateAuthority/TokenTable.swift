internal import TLS

/// Tokens that were given out and are not over. The file is written anew with each change (docs/formats/ca.md). A value.
struct TokenTable {
    static let countMax = 4096
    static let bytesMax = 12 << 20
    static let header = "skein-ca-tokens 1"

    struct Entry: Hashable {
        var id: String
        /// SHA-256 of the secret.
        var hash: [UInt8]
        /// Seconds since 1970.
        var expiresAt: Int64
        var identity: String
        /// SHA-256 of the public key that it was used for; nil = it was not used.
        var usedFor: [UInt8]?
    }

    private(set) var entries: [Entry] = []

    init() {}

    /// Every line must be readable: a token that cannot be read could be used twice.
    init(_ bytes: [UInt8], file: String) throws(AuthorityError) {
        let lines = bytes.split(separator: UInt8(ascii: "\n"))
        for (number, line) in lines.enumerated() {
            if number == 0, line.elementsEqual(Self.header.utf8) { continue }
            guard number > 0, let entry = Self.entry(line), entries.count < Self.countMax else {
                throw AuthorityError(.directory, "\(file):\(number + 1) cannot be read: delete the file, and make new tokens")
            }
            entries.append(entry)
        }
    }

    private static func entry(_ line: ArraySlice<UInt8>) -> Entry? {
        let fields = String(decoding: line, as: UTF8.self).split(separator: "\t", omittingEmptySubsequences: false)
        guard fields.count == 5, Hexadecimal.bytes(fields[0])?.count == JoinToken.idBytes, let hash = Hexadecimal.bytes(fields[1]),
            hash.count == SHA256.bytes, let expiry = Int64(fields[2])
        else { return nil }
        let used = fields[3] == "-" ? nil : Hexadecimal.bytes(fields[3])
        guard fields[3] == "-" || used?.count == SHA256.bytes, (try? SPIFFEID(String(fields[4]))) != nil else { return nil }
        return Entry(id: String(fields[0]), hash: hash, expiresAt: expiry, identity: String(fields[4]), usedFor: used)
    }

    var bytes: [UInt8] {
        var text = Self.header + "\n"
        for entry in entries {
            let used = entry.usedFor.map { Hexadecimal.text($0) } ?? "-"
            text += [entry.id, Hexadecimal.text(entry.hash), "\(entry.expiresAt)", used, entry.identity].joined(separator: "\t") + "\n"
        }
        return Array(text.utf8)
    }

    /// Adds a token; those that are over go. False = there are too many.
    mutating func add(_ token: JoinToken, now: Int64) -> Bool {
        entries.removeAll { $0.expiresAt < now }
        guard entries.count < Self.countMax else { return false }
        entries.append(
            Entry(id: token.id, hash: token.secretHash, expiresAt: token.expiresAt, identity: token.identity.description, usedFor: nil))
        return true
    }

    /// What comes of a token that somebody shows for a key.
    enum Outcome: Hashable {
        /// It is used now: to be written before a certificate is made.
        case accepted
        /// The same key asked with it before, and may not have got its answer.
        case repeated
        case refused(TokenRefusal)
    }

    /// `key`: SHA-256 of the public key that the certificate is for. What the token says of itself counts for nothing.
    mutating func use(_ token: JoinToken, for key: [UInt8], now: Int64) -> Outcome {
        // An unknown number and a wrong secret are one answer: nobody learns which numbers there are.
        guard let place = entries.firstIndex(where: { $0.id == token.id }), SHA256.isSame(entries[place].hash, token.secretHash) else {
            return .refused(.unknown)
        }
        guard entries[place].expiresAt >= now else { return .refused(.expired) }
        guard entries[place].identity == token.identity.description else { return .refused(.otherWorkload) }
        if let used = entries[place].usedFor { return used == key ? .repeated : .refused(.used) }
        entries[place].usedFor = key
        return .accepted
    }
}

/// Why a token was refused.
public enum TokenRefusal: String, Sendable, CaseIterable {
    case unknown = "the token is not of this authority, or was forgotten after its end: make a new one with skein ca token"
    case expired = "the token has expired: make a new one with skein ca token"
    case used = "the token was used for another key already: make a new one with skein ca token"
    case otherWorkload = "the token is for another workload"
}
