internal import CSystem

/// The process's heap as the system sees it.
public enum HeapMemory {
    /// Gives free pages back to the system (malloc_trim(3)). Any thread; takes about a millisecond and locks each arena for a part of it,
    /// so not where much is allocated at the same time.
    public static func giveBackFreePages() { skein_malloc_trim() }
}
