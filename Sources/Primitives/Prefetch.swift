internal import CSystem

/// Hints about memory that will be read soon.
public enum Prefetch {
    /// Starts fetching the cache line at `address`. Never faults; worth it where the next reads are known a few hundred instructions
    /// ahead and are not in order, so that the processor cannot guess them.
    public static func read(_ address: UnsafeRawPointer) { unsafe skein_prefetch(address) }
}
