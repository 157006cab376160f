internal import ArgumentParser
internal import EventLoops
internal import Foundation
internal import Glibc
internal import JOSE
internal import TLS

/// Files of `skein jwt`. What cannot be read or written is said, without a byte of what is in it.
enum JWTFiles {
    /// The private key of a PEM file. No core file has it from here on.
    static func key(_ path: String) throws -> SigningKey {
        ProcessResources.forbidDumps()
        var bytes = try read(path, bytesMax: SigningKey.pemBytesMax)
        defer { Wiping.wipe(&bytes) }
        do throws(SigningFault) { return try SigningKey(pem: bytes) } catch {
            complain("skein: \(path): \(error); skein jwt keygen makes one")
            throw ExitStatus.badInput
        }
    }

    /// At most `bytesMax` bytes of a file; `-` is standard input.
    static func read(_ path: String, bytesMax: Int) throws -> [UInt8] {
        let name = path == "-" ? "standard input" : path
        guard let handle = path == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: path) else {
            complain("skein: \(name) cannot be read: \(lastError)")
            throw ExitStatus.badInput
        }
        var bytes: [UInt8] = []
        do {
            while bytes.count <= bytesMax, let more = try handle.read(upToCount: bytesMax + 1 - bytes.count), !more.isEmpty {
                bytes += more
            }
        } catch {
            complain("skein: \(name) cannot be read: \(error.localizedDescription)")
            throw ExitStatus.badInput
        }
        guard bytes.count <= bytesMax else {
            complain("skein: \(name) has more than \(bytesMax) bytes")
            throw ExitStatus.badInput
        }
        return bytes
    }

    private static var lastError: String { unsafe String(cString: strerror(errno)) }

    /// A new file of mode 0600. One that is there already is replaced at once, and only with `force`.
    static func write(_ bytes: [UInt8], to path: String, force: Bool) throws {
        let place = force ? "\(path).skein-\(getpid())" : path
        let descriptor = unsafe open(place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let isThere = errno == EEXIST
            complain(
                isThere && !force
                    ? "skein: \(path) is there already: name another file, or replace it with --force"
                    : "skein: \(place) cannot be written: \(lastError)")
            throw isThere ? ExitStatus.badInput : ExitStatus.system
        }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        do {
            try handle.write(contentsOf: Data(bytes))
            try handle.synchronize()
            if force, unsafe rename(place, path) != 0 { throw CocoaError(.fileWriteUnknown) }
        } catch {
            unsafe unlink(place)
            complain("skein: \(path) cannot be written")
            throw ExitStatus.system
        }
    }
}
