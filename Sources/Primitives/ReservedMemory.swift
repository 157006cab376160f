internal import Glibc

/// A range of addresses that is set aside at once and gets its memory, filled with zeros, from the front as it is needed: what stands there
/// stays where it is while the rest grows. Addresses without memory count nowhere, not even as promised memory. Given back with its owner.
@safe
struct ReservedMemory: ~Copyable {
    /// Page-aligned.
    @unsafe let base: UnsafeMutableRawPointer
    /// Bytes set aside, whole pages.
    private let bytesMax: Int
    /// Bytes from the front that have memory, whole pages.
    private var bytes = 0

    private static let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// Sets `bytes` aside. A system that has no such range ends the process.
    init(bytes: Int) {
        bytesMax = Self.wholePages(max(1, bytes))
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let found = unsafe mmap(nil, bytesMax, PROT_NONE, flags, -1, 0)
        guard let found = unsafe found, unsafe found != MAP_FAILED else { preconditionFailure("no room for \(bytes) bytes of addresses") }
        unsafe base = unsafe found
    }

    deinit { unsafe munmap(base, bytesMax) }

    /// Sees to it that the first `wanted` bytes have memory; what is added is `step` bytes or more, as far as there are addresses.
    mutating func grow(to wanted: Int, by step: Int) {
        if wanted <= bytes { return }
        precondition(wanted <= bytesMax, "more memory than was set aside")
        let grown = min(bytesMax, Self.wholePages(max(wanted, bytes + step)))
        guard unsafe mprotect(base + bytes, grown - bytes, PROT_READ | PROT_WRITE) == 0 else { preconditionFailure("out of memory") }
        bytes = grown
    }

    private static func wholePages(_ bytes: Int) -> Int { (bytes + pageBytes - 1) / pageBytes * pageBytes }
}
