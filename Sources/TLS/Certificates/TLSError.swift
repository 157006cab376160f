internal import COpenSSL

/// What went wrong with a key, a certificate or a session, in words for people.
public struct TLSError: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String

    public init(_ description: String) { self.description = description }

    /// What was tried, and what OpenSSL says of it; its queue of this thread is empty afterwards.
    static func openSSL(_ attempt: String) -> TLSError {
        guard let reason = takeReason() else { return TLSError(attempt) }
        return TLSError("\(attempt): \(reason)")
    }

    /// OpenSSL's reason alone; nil = it has none.
    static func takeReason() -> String? {
        let first = ERR_get_error()
        ERR_clear_error()
        guard first != 0 else { return nil }
        var text = [CChar](repeating: 0, count: 256)
        unsafe ERR_error_string_n(first, &text, text.count)
        // error:0A000086:SSL routines::certificate verify failed
        let whole = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return whole.split(separator: ":").last.map(String.init) ?? whole
    }
}
