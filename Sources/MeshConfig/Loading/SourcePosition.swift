/// Where something was written. Lines and columns count from 1; columns count Unicode scalars, as editors do.
/// Line 0 means the file as a whole (it could not be read, say).
public struct SourcePosition: Sendable, Hashable, CustomStringConvertible {
    public var file: String
    public var line: Int
    public var column: Int

    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// `file:line:column`, the form that editors and terminals turn into a link.
    public var description: String { line == 0 ? file : "\(file):\(line):\(column)" }
}

/// Which resource. The namespace is never empty: `default` stands for an absent one.
public struct ResourceID: Sendable, Hashable, CustomStringConvertible {
    public var kind: String
    public var namespace: String
    public var name: String

    public init(kind: String, namespace: String, name: String) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
    }

    /// `VirtualService production/reviews`.
    public var description: String { "\(kind) \(namespace)/\(name)" }
}
