internal import CSystem
internal import Glibc
internal import Primitives

/// What the process uses, read from the kernel when asked.
public struct ProcessResources: Sendable {
    public var cpuSeconds: Double
    public var residentBytes: UInt64
    public var virtualBytes: UInt64
    public var openDescriptors: Int
    public var descriptorsMax: UInt64
    public var threads: Int
    /// Seconds since 1970.
    public var startTimeSeconds: Double

    /// This machine's name, as `hostname` prints it; empty where /proc does not answer.
    public static var hostName: String { String(read("/proc/sys/kernel/hostname").prefix { $0 != "\n" }) }

    /// Reads /proc; zeros where it does not answer.
    public static func current() -> ProcessResources {
        var usage = rusage()
        unsafe getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
        let user = Double(usage.ru_utime.tv_sec) + Double(usage.ru_utime.tv_usec) / 1e6
        let system = Double(usage.ru_stime.tv_sec) + Double(usage.ru_stime.tv_usec) / 1e6
        let stat = read("/proc/self/stat")
        // The command, in parentheses, may hold spaces; fields count from after it.
        let fields = stat.split(separator: ")").last.map { $0.split(separator: " ") } ?? []
        func number(_ index: Int) -> UInt64 { index < fields.count ? UInt64(fields[index]) ?? 0 : 0 }
        let page = UInt64(clamping: sysconf(Int32(_SC_PAGESIZE)))
        let ticks = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        let bootLine = read("/proc/stat").split(separator: "\n").first { $0.hasPrefix("btime ") }
        let boot = bootLine.flatMap { Double($0.dropFirst(6)) } ?? 0
        var limit = rlimit()
        unsafe getrlimit(Int32(RLIMIT_NOFILE.rawValue), &limit)
        return ProcessResources(
            cpuSeconds: user + system, residentBytes: number(21) * page, virtualBytes: number(20), openDescriptors: countDescriptors(),
            descriptorsMax: UInt64(limit.rlim_cur), threads: Int(number(17)), startTimeSeconds: boot + Double(number(19)) / ticks)
    }

    /// CPUs this process may run on.
    public static var processorCount: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    /// Raises the soft limit of open descriptors to the hard one; returns the limit in force.
    @discardableResult
    public static func raiseDescriptorLimit() -> UInt64 {
        var limit = rlimit()
        unsafe getrlimit(Int32(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        unsafe setrlimit(Int32(RLIMIT_NOFILE.rawValue), &limit)
        unsafe getrlimit(Int32(RLIMIT_NOFILE.rawValue), &limit)
        return UInt64(limit.rlim_cur)
    }

    /// No core file and no debugger of the same user sees this process' memory from now on: there are keys in it.
    public static func forbidDumps() {
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        unsafe setrlimit(Int32(RLIMIT_CORE.rawValue), &limit)
        _ = skein_forbid_dumps()
    }

    /// Gives back what only starting up needed: free heap pages, and the mapping of program code run once (argument and YAML parsing, the
    /// schema). The code pages are clean and file-backed, so whatever is needed again is mapped again from the page cache at the cost of a
    /// minor fault. Measured: about 8 MB of a resident 19.
    public static func releaseStartupMemory() {
        HeapMemory.giveBackFreePages()
        for line in read("/proc/self/maps", bytesMax: 256 * 1024).split(separator: "\n") {
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count >= 6, fields[1] == "r-xp", fields[5].hasPrefix("/") else { continue }
            let ends = fields[0].split(separator: "-")
            guard ends.count == 2, let start = UInt(ends[0], radix: 16), let end = UInt(ends[1], radix: 16), end > start else { continue }
            _ = unsafe madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), Int32(MADV_DONTNEED))
        }
    }

    private static func read(_ path: String, bytesMax: Int = 16 * 1024) -> String {
        let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return "" }
        defer { close(fd) }
        var bytes = [UInt8](repeating: 0, count: bytesMax)
        var total = 0
        // /proc gives a file in pieces of a page or so.
        while total < bytesMax {
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(fd, $0.baseAddress.map { unsafe $0 + total }, bytesMax - total)
            }
            if count <= 0 { break }
            total += count
        }
        return String(decoding: bytes[..<total], as: UTF8.self)
    }

    private static func countDescriptors() -> Int {
        guard let directory = unsafe opendir("/proc/self/fd") else { return 0 }
        defer { unsafe closedir(directory) }
        var count = -3  // ".", ".." and the directory's own descriptor
        while unsafe readdir(directory) != nil { count += 1 }
        return max(0, count)
    }
}
