internal import Synchronization

/// Who sent a request: the source half of Istio's standard labels (semantics 2.2). The empty string prints as `unknown`.
public struct SourceLabels: Hashable, Sendable {
    public var workload = ""
    public var workloadNamespace = ""
    public var principal = ""
    public var app = ""
    public var version = ""
    public var cluster = ""
    public var canonicalService = ""
    public var canonicalRevision = ""

    public init() {}

    var byteCount: Int {
        [workload, workloadNamespace, principal, app, version, cluster, canonicalService, canonicalRevision]
            .reduce(0) { $0 + $1.utf8.count }
    }
}

/// Whom it was sent to: the destination half.
public struct DestinationLabels: Hashable, Sendable {
    public var workload = ""
    public var workloadNamespace = ""
    public var principal = ""
    public var app = ""
    public var version = ""
    public var service = ""
    public var serviceName = ""
    public var serviceNamespace = ""
    public var cluster = ""
    public var canonicalService = ""
    public var canonicalRevision = ""

    public init() {}
}

/// Interns values once per configuration, so that the request path carries integers. Ids are never reused: a record written under an
/// old configuration still resolves. Any thread; compiling a configuration, a connection whose peer is new, and printing are the only
/// users.
public final class Interner<Value: Hashable & Sendable>: Sendable {
    private struct Table {
        var identifiers: [Value: UInt32] = [:]
        var values: [Value] = []
    }

    private let table = Mutex(Table())
    /// Further values than this share the id 0.
    public let countMax: Int

    /// `zero` is what id 0 stands for.
    public init(zero: Value, countMax: Int = 1 << 18) {
        self.countMax = countMax
        table.withLock {
            $0.identifiers[zero] = 0
            $0.values.append(zero)
        }
    }

    public func intern(_ value: Value) -> UInt32 {
        table.withLock { table in
            if let known = table.identifiers[value] { return known }
            guard table.values.count < countMax else { return 0 }
            let identifier = UInt32(table.values.count)
            table.identifiers[value] = identifier
            table.values.append(value)
            return identifier
        }
    }

    /// The id of a value that is known already.
    public func identifier(of value: Value) -> UInt32? { table.withLock { $0.identifiers[value] } }

    /// The value of an id; that of id 0 for an id never given out.
    public func value(_ identifier: UInt32) -> Value {
        table.withLock { Int(identifier) < $0.values.count ? $0.values[Int(identifier)] : $0.values[0] }
    }

    public var count: Int { table.withLock { $0.values.count } }
}

/// The interned names and labels of one process.
public struct Catalogs: Sendable {
    /// Routes and clusters; id 0 = "".
    public let names = Interner(zero: "")
    public let sources: SourceCatalog
    private let destinations = Interner(zero: DestinationLabels())

    public init(sources: SourceCatalog = SourceCatalog()) { self.sources = sources }

    public func name(_ text: String) -> NameID { NameID(names.intern(text)) }

    public func destination(_ labels: DestinationLabels) -> DestinationLabelsID { DestinationLabelsID(destinations.intern(labels)) }

    public func labels(_ id: DestinationLabelsID) -> DestinationLabels { destinations.value(id.rawValue) }
}
