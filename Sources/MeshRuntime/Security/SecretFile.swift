internal import Glibc
internal import TLS

/// Files of keys and certificates that others write.
enum SecretFile {
    /// A key that everybody may write is nobody's: it is refused. One that everybody may read is a warning.
    static func checkMode(_ path: String) throws(TLSError) -> String? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw TLSError("\(path): \(text(errno))") }
        if status.st_mode & S_IWOTH != 0 { throw TLSError("\(path) may be written by everybody: chmod o-w it, and make a new key") }
        return status.st_mode & S_IROTH != 0 ? "\(path) may be read by everybody: chmod 600 it" : nil
    }

    /// A certificate chain and its key. What an operator should mend is added to `warnings`.
    static func credentials(certificate: String, key: String, warnings: inout [String]) throws(TLSError) -> TLSCredentials {
        if let warning = try checkMode(key) { warnings.append(warning) }
        var keyBytes = try read(key, bytesMax: PrivateKey.pemBytesMax)
        defer { Wiping.wipe(&keyBytes) }
        let chain = try read(certificate, bytesMax: Certificate.pemBytesMax)
        do throws(TLSError) {
            return try TLSCredentials(certificatePEM: chain, keyPEM: keyBytes)
        } catch {
            throw TLSError("\(certificate): \(error)")
        }
    }

    /// The whole of a file. What was read in between is wiped; the caller wipes what it gets, where it is a key.
    static func read(_ path: String, bytesMax: Int) throws(TLSError) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw TLSError("\(path): \(text(errno))") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16 << 10)
        defer { Wiping.wipe(&part) }
        while bytes.count <= bytesMax {
            let count = unsafe part.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return bytes }
            guard count > 0 else { throw TLSError("\(path): \(text(errno))") }
            bytes += part[..<count]
        }
        throw TLSError("\(path) has more than \(bytesMax) bytes")
    }

    private static func text(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }
}
