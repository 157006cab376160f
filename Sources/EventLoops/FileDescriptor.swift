internal import CSystem
internal import Glibc

/// A system call that failed: which one and why.
public struct SystemError: Error, CustomStringConvertible {
    public let call: String
    /// The errno value.
    public let code: Int32
    /// What the reader can do about it; empty = the code says all there is.
    public let advice: String

    public init(call: String, code: Int32, advice: String = "") {
        self.call = call
        self.code = code
        self.advice = advice
    }

    public var description: String {
        unsafe "\(call): \(String(cString: strerror(code)))" + (advice.isEmpty ? "" : "; \(advice)")
    }
}

/// Owns one file descriptor and closes it when it goes.
public struct FileDescriptor: ~Copyable {
    public let rawValue: Int32

    public init(owning rawValue: Int32) { self.rawValue = rawValue }

    /// Takes the result of a system call that returns a descriptor or -1.
    init(checking result: Int32, _ call: String) throws(SystemError) {
        guard result >= 0 else { throw SystemError(call: call, code: skein_errno()) }
        rawValue = result
    }

    deinit { close(rawValue) }
}
