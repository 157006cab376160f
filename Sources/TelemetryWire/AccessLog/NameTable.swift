public import TelemetryModel

/// The text of interned names, made once per configuration; index = `NameID.rawValue`, and 0 is "none".
public struct NameTable: Sendable {
    private let names: [[UInt8]]
    /// The same names end to end, and slack behind the last: formatting a line reads them here and counts no references.
    private let pool: [UInt8]
    /// Name `id` is `pool[ends[id - 1]..<ends[id]]`.
    private let ends: [UInt32]

    /// `names[0]` is the name with id 1.
    public init(_ names: [String]) {
        self.names = [[]] + names.map { Array($0.utf8) }
        var pool: [UInt8] = []
        var ends: [UInt32] = []
        for name in self.names {
            // Names of a configuration are far from 4 GiB; one that would not fit prints as missing.
            if pool.count + name.count <= Int(UInt32.max) { pool += name }
            ends.append(UInt32(clamping: pool.count))
        }
        self.pool = pool + [UInt8](repeating: 0, count: LineWriter.slack)
        self.ends = ends
    }

    /// The bytes of a name, empty for none and for an id from another configuration.
    public subscript(_ id: NameID) -> [UInt8] {
        Int(id.rawValue) < names.count ? names[Int(id.rawValue)] : []
    }

    @inline(__always)
    func byteCount(_ id: NameID) -> Int {
        let index = Int(id.rawValue)
        return index > 0 && index < ends.count ? Int(ends[index] &- ends[index &- 1]) : 0
    }

    /// Of the longest of the three names.
    func byteCount(_ shadow: AuthorizationShadow) -> Int {
        max(byteCount(shadow.denyRule), byteCount(shadow.allowRule), byteCount(shadow.auditRule))
    }

    /// Writes a name; false when there is none.
    @inline(__always)
    func write(_ id: NameID, isJSON: Bool, to writer: inout LineWriter) -> Bool {
        let count = byteCount(id)
        if count == 0 { return false }
        let start = Int(ends[Int(id.rawValue) &- 1])
        unsafe pool.withUnsafeBytes { pool in
            unsafe writer.escaped(
                UnsafeRawBufferPointer(rebasing: pool[start..<start &+ count]), readable: pool.count &- start, isJSON: isJSON)
        }
        return true
    }
}
