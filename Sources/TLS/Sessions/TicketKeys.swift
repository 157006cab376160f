internal import COpenSSL
internal import Synchronization

/// The keys that a process seals session tickets with (RFC 5077 section 4), so that any of its workers can go on with a session that another
/// began. They are never written anywhere; a process that takes over begins with its own. Any thread.
public final class TicketKeys: Sendable {
    /// Seconds that a key seals for. Afterwards it opens tickets for as long again, and is wiped.
    public static let sealingSeconds: Int64 = 3600

    struct Key: Sendable {
        let name: [UInt8]
        /// AES-256-CBC and HMAC-SHA-256, of 32 bytes each.
        var cipher: [UInt8]
        var digest: [UInt8]
        let made: Int64
    }

    static let nameBytes = 16
    private static let keyBytes = 32
    /// Newest first; two at most.
    private let keys = Mutex<[Key]>([])

    public init() {}

    deinit { keys.withLock { keys in for place in keys.indices { Self.wipe(&keys[place]) } } }

    /// The key for a ticket made now (seconds since 1970); nil = the system has no random bytes.
    func sealing(_ now: Int64) -> Key? {
        keys.withLock { keys in
            if let newest = keys.first, (newest.made..<newest.made &+ Self.sealingSeconds).contains(now) { return newest }
            guard let fresh = Self.make(now) else { return nil }
            keys.insert(fresh, at: 0)
            while keys.count > 2, var oldest = keys.popLast() { Self.wipe(&oldest) }
            return fresh
        }
    }

    /// The key of this name, if it still opens tickets, and whether it still seals them.
    func opening(_ name: [UInt8], _ now: Int64) -> (key: Key, isSealing: Bool)? {
        keys.withLock { keys in
            guard let key = keys.first(where: { $0.name == name }), now < key.made &+ 2 * Self.sealingSeconds else { return nil }
            return (key, now < key.made &+ Self.sealingSeconds)
        }
    }

    private static func make(_ now: Int64) -> Key? {
        guard let name = random(nameBytes), let cipher = random(keyBytes), let digest = random(keyBytes) else { return nil }
        return Key(name: name, cipher: cipher, digest: digest, made: now)
    }

    private static func random(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        return unsafe bytes.withUnsafeMutableBufferPointer { unsafe RAND_bytes($0.baseAddress, Int32($0.count)) } == 1 ? bytes : nil
    }

    private static func wipe(_ key: inout Key) {
        Wiping.wipe(&key.cipher)
        Wiping.wipe(&key.digest)
    }
}

/// Sealing and opening of tickets, as OpenSSL asks for it (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
extension TicketKeys {
    /// What OpenSSL is told.
    private enum Answer {
        static let failed: Int32 = -1
        /// No ticket, or none that is known: a whole handshake.
        static let none: Int32 = 0
        static let good: Int32 = 1
        /// The ticket is good, and another is wanted.
        static let renew: Int32 = 2
    }

    /// Sets a ticket's key up, either way. `name` and `vector` have 16 bytes: to be filled when sealing.
    func prepare(
        _ name: UnsafeMutablePointer<UInt8>, _ vector: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer?, _ digest: OpaquePointer?,
        seals: Bool, now: Int64
    ) -> Int32 {
        if seals {
            guard let key = sealing(now), unsafe RAND_bytes(vector, EVP_MAX_IV_LENGTH) == 1 else { return Answer.failed }
            for index in 0..<Self.nameBytes { unsafe name[index] = key.name[index] }
            guard unsafe EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.cipher, vector) == 1, unsafe authenticate(digest, key) else {
                return Answer.failed
            }
            return Answer.good
        }
        let asked = unsafe Array(UnsafeBufferPointer(start: name, count: Self.nameBytes))
        guard let (key, isSealing) = opening(asked, now) else { return Answer.none }
        guard unsafe EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.cipher, vector) == 1, unsafe authenticate(digest, key) else {
            return Answer.failed
        }
        return isSealing ? Answer.good : Answer.renew
    }

    private func authenticate(_ digest: OpaquePointer?, _ key: Key) -> Bool {
        unsafe skein_mac_set_sha256_key(digest, key.digest, key.digest.count) == 1
    }
}
