internal import Synchronization

/// Paths of Unix domain sockets, each under a small number for the life of the process: so that `SocketEndpoint` stays a few plain words
/// that are compared and copied without looking at a text.
///
/// One table per process (`shared`); numbers mean nothing elsewhere. Any thread: whoever adds a path holds a lock, whoever reads one does
/// not, because entries never change and their bytes are never freed. Memory is bounded by `pathsMax` and `pathBytesMax`; configurations
/// name paths, the network never does.
@safe
public struct UnixPathTable: ~Copyable, @unchecked Sendable {
    /// Different paths that all configurations of one process may name.
    public static let pathsMax = 65_536
    /// Bytes of a path, or of an abstract name with its `@`: `sun_path` has 108, of which one is a NUL (unix(7)).
    public static let pathBytesMax = 107

    /// Why a text has no number.
    public enum Refusal: Error, Equatable, CustomStringConvertible {
        /// Neither `/…` nor `@…`.
        case notAPath
        /// More than `pathBytesMax`.
        case tooLong
        /// A control character (NUL included): paths stand in header fields and log lines.
        case controlCharacter
        /// As many others as may be have one.
        case tableFull

        public var description: String {
            switch self {
            case .notAPath: "it is neither an absolute path nor @name"
            case .tooLong: "it has more than \(UnixPathTable.pathBytesMax) bytes"
            case .controlCharacter: "it has a control character"
            case .tableFull: "this process has seen \(UnixPathTable.pathsMax) different ones, and keeps no more"
            }
        }
    }

    public static let shared = UnixPathTable(pathsMax: pathsMax)

    private let pathsMax: Int
    private let numbers = Mutex<[[UInt8]: Int]>([:])
    /// How many entries are complete. Stored after the entry, so that a number below it leads to bytes.
    private let published = Atomic<Int>(0)
    /// Index = number. Entries below `published` are only read, those above are written under the lock alone: hence Sendable. The system
    /// gives a page only when it is written to, so a process without such sockets has none of this memory.
    private let entries: UnsafeMutablePointer<UnsafeRawBufferPointer>

    init(pathsMax: Int) {
        self.pathsMax = pathsMax
        unsafe entries = .allocate(capacity: pathsMax)
    }

    deinit {
        for number in 0..<count { unsafe entries[number].deallocate() }
        unsafe entries.deallocate()
    }

    /// How many paths have a number.
    public var count: Int { published.load(ordering: .acquiring) }

    /// The number of a path, the same every time; `@name` for an abstract socket.
    public func number(of path: some Sequence<UInt8>) throws(Refusal) -> Int {
        let bytes = Array(path)
        guard bytes.count > 1, bytes[0] == UInt8(ascii: "/") || bytes[0] == UInt8(ascii: "@") else { throw .notAPath }
        guard bytes.count <= Self.pathBytesMax else { throw .tooLong }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { throw .controlCharacter }
        let number: Int? = numbers.withLock { numbers in
            if let known = numbers[bytes] { return known }
            let next = numbers.count
            guard next < pathsMax else { return nil }
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
            unsafe copy.copyBytes(from: bytes)
            unsafe (entries + next).initialize(to: UnsafeRawBufferPointer(copy))
            numbers[bytes] = next
            published.store(next + 1, ordering: .releasing)
            return next
        }
        guard let number else { throw .tableFull }
        return number
    }

    /// The bytes of a path, valid as long as the table; none for a number that was never given.
    public func bytes(_ number: Int) -> UnsafeRawBufferPointer {
        guard number >= 0, number < count else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
        return unsafe entries[number]
    }
}
