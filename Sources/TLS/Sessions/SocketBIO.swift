internal import COpenSSL
internal import Glibc

/// The bytes under a session: first those that were read before TLS began, then the socket's. OpenSSL calls it, on the session's thread.
@safe
enum SocketBIO {
    /// What one BIO has.
    final class State {
        let descriptor: Int32
        var early: [UInt8]
        var earlyRead = 0
        /// The peer sends no more.
        var isEnded = false
        /// The last read got less than it asked for, or nothing: the socket has no more at present.
        var isDrained = false
        /// errno of the last call that failed; 0 = the peer ended.
        var problem: Int32 = 0

        init(descriptor: Int32, early: [UInt8]) {
            self.descriptor = descriptor
            self.early = early
        }
    }

    /// `BIO_TYPE_DESCRIPTOR | BIO_TYPE_SOURCE_SINK` and a number of ours.
    nonisolated(unsafe) private static let method: OpaquePointer? = {
        let made = unsafe BIO_meth_new(Int32(BIO_get_new_index()) | 0x0500, "skein socket")
        unsafe BIO_meth_set_read(made, { bio, bytes, count in unsafe SocketBIO.read(bio, bytes, count) })
        unsafe BIO_meth_set_write(made, { bio, bytes, count in unsafe SocketBIO.write(bio, bytes, count) })
        unsafe BIO_meth_set_ctrl(made, { bio, command, _, _ in
            switch command {
            case BIO_CTRL_FLUSH: 1
            // What tells a peer that ended without close_notify from one that is silent.
            case BIO_CTRL_EOF: unsafe SocketBIO.state(bio)?.isEnded == true ? 1 : 0
            default: 0
            }
        })
        unsafe BIO_meth_set_create(made, { bio in
            unsafe BIO_set_init(bio, 1)
            return 1
        })
        return unsafe made
    }()

    /// `BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY`.
    private static let waits: Int32 = 0x0F

    /// A BIO over `state`, which its owner keeps longer than the BIO lives.
    static func make(_ state: State) -> OpaquePointer? {
        let bio = unsafe BIO_new(method)
        unsafe BIO_set_data(bio, Unmanaged.passUnretained(state).toOpaque())
        return unsafe bio
    }

    private static func state(_ bio: OpaquePointer?) -> State? {
        guard let data = unsafe BIO_get_data(bio) else { return nil }
        return unsafe Unmanaged<State>.fromOpaque(data).takeUnretainedValue()
    }

    private static func read(_ bio: OpaquePointer?, _ bytes: UnsafeMutablePointer<CChar>?, _ count: Int32) -> Int32 {
        guard let state = unsafe state(bio), let bytes = unsafe bytes, count > 0 else { return -1 }
        unsafe BIO_clear_flags(bio, waits)
        if state.earlyRead < state.early.count {
            let part = min(Int(count), state.early.count - state.earlyRead)
            unsafe state.early.withUnsafeBytes { unsafe UnsafeMutableRawBufferPointer(start: bytes, count: part).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: $0[state.earlyRead..<state.earlyRead + part])) }
            state.earlyRead += part
            if state.earlyRead == state.early.count {
                state.early = []
                state.earlyRead = 0
            }
            return Int32(part)
        }
        while true {
            let got = unsafe recv(state.descriptor, bytes, Int(count), 0)
            if got >= 0 {
                if got == 0 { state.isEnded = true }
                state.isDrained = got < Int(count)
                return Int32(got)
            }
            if errno == EINTR { continue }
            if errno == EAGAIN || errno == EWOULDBLOCK {
                state.isDrained = true
                unsafe BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
            } else {
                state.problem = errno
            }
            return -1
        }
    }

    private static func write(_ bio: OpaquePointer?, _ bytes: UnsafePointer<CChar>?, _ count: Int32) -> Int32 {
        guard let state = unsafe state(bio), let bytes = unsafe bytes, count > 0 else { return -1 }
        unsafe BIO_clear_flags(bio, waits)
        while true {
            let sent = unsafe send(state.descriptor, bytes, Int(count), Int32(MSG_NOSIGNAL))
            if sent >= 0 { return Int32(sent) }
            if errno == EINTR { continue }
            if errno == EAGAIN || errno == EWOULDBLOCK {
                unsafe BIO_set_flags(bio, BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
            } else {
                state.problem = errno
            }
            return -1
        }
    }
}
