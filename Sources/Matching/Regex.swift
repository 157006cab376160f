internal import CRE2
internal import Primitives

/// RE2 objects by their index. Safe for concurrent matching (re2.h, "Thread safety").
@safe
struct RegexTable: BitwiseCopyable {
    private let regexes: Table<OpaquePointer>

    fileprivate init(_ regexes: Table<OpaquePointer>) { unsafe self.regexes = unsafe regexes }

    /// Whether the whole value matches. Costs about the value's length, whatever the pattern.
    func fullMatch(_ index: UInt32, _ value: LentBytes) -> Bool {
        unsafe skein_re2_full_match(regexes[index], value.characters, value.count)
    }

    func pattern(_ index: UInt32) -> String { unsafe String(cString: skein_re2_pattern(regexes[index])) }

    /// The length of what was written to `out`, or -1 when it does not fit.
    func replace(_ index: UInt32, in value: LentBytes, by text: LentBytes, _ out: UnsafeMutablePointer<CChar>, room: Int) -> Int {
        unsafe skein_re2_replace(regexes[index], value.characters, value.count, text.characters, text.count, out, room)
    }
}

/// Compiles expressions and frees them in the end.
@safe
final class RegexOwner {
    /// Bytes of one regex's program and its DFA cache (RE2's own default is 8 MiB).
    static let bytesMax = 1 << 20

    private var regexes: [OpaquePointer] = unsafe []

    deinit { for unsafe regex in unsafe regexes { unsafe skein_re2_free(regex) } }

    /// The index of a compiled pattern, and why it is none: one with a problem never matches.
    func add(_ pattern: String) -> (index: UInt32, problem: String?) {
        var pattern = pattern
        let regex = pattern.withUTF8 { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe skein_re2_new($0.baseAddress, $0.count, Self.bytesMax) }
        }
        guard let regex = unsafe regex else { return (0, "no memory") }
        unsafe regexes.append(regex)
        return unsafe (UInt32(clamping: regexes.count - 1), skein_re2_error(regex).map { unsafe String(cString: $0) })
    }

    func accepts(_ index: UInt32, replacement: String) -> Bool {
        var text = replacement
        return text.withUTF8 { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe skein_re2_check_rewrite(regexes[Int(index)], $0.baseAddress, $0.count) }
        }
    }

    /// Good as long as this object.
    func table(in arena: inout TableArena) -> RegexTable { unsafe RegexTable(arena.table(regexes)) }
}

extension LentBytes {
    fileprivate var characters: UnsafePointer<CChar>? { unsafe buffer.baseAddress?.assumingMemoryBound(to: CChar.self) }
}
