internal import COpenSSL
internal import Glibc
internal import Synchronization

/// OpenSSL's algorithms, their store and its random generators, for one thread at a time.
///
/// OpenSSL 3.0 looks algorithms up all through a handshake, under locks and with counts of references that all threads of its default
/// context share: two threads at it take 1.16 times the CPU that they take with contexts of their own (docs/measurements.md). Keys and
/// certificates may come from another context; copies of those for each thread gained nothing.
///
/// `@unchecked Sendable`: it waits in `idle` behind a lock, and one thread at a time takes it from there.
@safe
public final class LibraryContext: @unchecked Sendable {
    private let context: OpaquePointer

    /// Those that no thread uses. None is ever freed, as certificates and keys that it read point into it and may be anywhere by now; there
    /// are as many as threads had one at the same time.
    private static let idle = Mutex<[LibraryContext]>([])

    private init?() {
        guard let made = unsafe OSSL_LIB_CTX_new() else { return nil }
        unsafe context = made
    }

    /// Runs a thread's body in a context of the thread's own. In the default one when there is no memory, or when the host's configuration
    /// of OpenSSL (openssl.cnf) has chosen the algorithms: a new context would not know of that, and reading the file again is for a
    /// process that has one thread.
    public static func withOwn<Result>(_ body: () throws -> Result) rethrows -> Result {
        guard !isChosenByHost, let own = idle.withLock({ $0.popLast() }) ?? LibraryContext() else { return try body() }
        let former = unsafe OSSL_LIB_CTX_set0_default(own.context)
        defer {
            _ = unsafe OSSL_LIB_CTX_set0_default(former)
            idle.withLock { $0.append(own) }
        }
        return try body()
    }

    /// Other providers than OpenSSL's default one are in use, or FIPS is demanded. Asked once, in the default context.
    private static let isChosenByHost: Bool = {
        let isPlain = unsafe OSSL_PROVIDER_do_all(
            nil, { provider, _ in unsafe strcmp(OSSL_PROVIDER_get0_name(provider), "default") == 0 ? 1 : 0 }, nil)
        return isPlain != 1 || EVP_default_properties_is_fips_enabled(nil) == 1
    }()
}
