internal import Synchronization

/// Who talked to whom: the identity half of Istio's standard labels (semantics 2.2). The empty string prints as `unknown`.
public struct IdentityLabels: Hashable, Sendable {
    public var sourceWorkload = ""
    public var sourceWorkloadNamespace = ""
    public var sourcePrincipal = ""
    public var sourceApp = ""
    public var sourceVersion = ""
    public var sourceCluster = ""
    public var sourceCanonicalService = ""
    public var sourceCanonicalRevision = ""
    public var destinationWorkload = ""
    public var destinationWorkloadNamespace = ""
    public var destinationPrincipal = ""
    public var destinationApp = ""
    public var destinationVersion = ""
    public var destinationService = ""
    public var destinationServiceName = ""
    public var destinationServiceNamespace = ""
    public var destinationCluster = ""
    public var destinationCanonicalService = ""
    public var destinationCanonicalRevision = ""

    public init() {}
}

/// Interns values once per configuration, so that the request path carries integers. Ids are never reused: a record written under an
/// old configuration still resolves. Any thread; compiling a configuration and printing are the only users.
public final class Interner<Value: Hashable & Sendable>: Sendable {
    private struct Table {
        var identifiers: [Value: UInt32] = [:]
        var values: [Value] = []
    }

    private let table = Mutex(Table())
    /// Further values than this share the id 0, and are counted.
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

    /// The value of an id; that of id 0 for an id never given out.
    public func value(_ identifier: UInt32) -> Value {
        table.withLock { Int(identifier) < $0.values.count ? $0.values[Int(identifier)] : $0.values[0] }
    }

    public var count: Int { table.withLock { $0.values.count } }
}

/// The interned names and identities of one process.
public struct Catalogs: Sendable {
    /// Routes and clusters; id 0 = "".
    public let names = Interner(zero: "")
    /// Label sets; id 0 = everything unknown.
    public let labels = Interner(zero: IdentityLabels())

    public init() {}

    public func name(_ text: String) -> NameID { NameID(names.intern(text)) }
    public func labelSet(_ labels: IdentityLabels) -> LabelSetID { LabelSetID(self.labels.intern(labels)) }
}
