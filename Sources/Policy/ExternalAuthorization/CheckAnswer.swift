public import Primitives

/// What an external authorizer says of a request, in whichever way it was asked: let it in with changes, answer it, or no answer at all.
/// Kept with the check and reused, so that its buffers stay warm.
public struct CheckAnswer: ~Copyable {
    public enum Verdict: BitwiseCopyable, Equatable, Sendable {
        case allowed
        /// With a status of 200...599.
        case denied(status: UInt16)
        /// There is no answer, or none that can be acted upon.
        case failed
    }

    public enum Action: UInt8, BitwiseCopyable, Sendable {
        /// In place of all fields of the name; the last of several wins.
        case set
        case setIfThere
        /// Besides the fields of the name.
        case add
        case addIfThere
        case addIfAbsent
        case remove
        /// Of the query.
        case setParameter
        case removeParameter
    }

    /// A change of the request, or of what its client is answered.
    public struct Edit: Sendable {
        public var action: Action
        public var isOfResponse: Bool
        var name: Range<Int>
        var value: Range<Int>
    }

    /// Changes that one answer may ask for, and the bytes of their names and values; more is no answer.
    public static let editsMax = 64
    public static let editBytesMax = 32 * 1024
    /// Of a refusal's body.
    public static let bodyBytesMax = 64 * 1024

    public private(set) var verdict = Verdict.failed
    /// In the order in which they are made.
    public private(set) var edits: [Edit] = []
    /// What the client is answered.
    public private(set) var body = ByteBuffer()
    /// Fields that were left out, as no authorizer may change them.
    public private(set) var droppedFields: UInt64 = 0
    private var text = ByteBuffer()

    public init() {}

    /// Back to no answer.
    public mutating func clear() {
        verdict = .failed
        edits.removeAll(keepingCapacity: true)
        body.clear(keeping: 4096)
        text.clear(keeping: 4096)
        droppedFields = 0
    }

    /// Good until the answer changes.
    public func name(of edit: Edit) -> LentBytes { unsafe LentBytes(text.readable)[edit.name] }
    public func value(of edit: Edit) -> LentBytes { unsafe LentBytes(text.readable)[edit.value] }

    /// Something is to be added to the response of a request that goes on.
    public var changesResponse: Bool { verdict == .allowed && edits.contains(where: \.isOfResponse) }
    /// Something of the request is changed.
    public var changesRequest: Bool { verdict == .allowed && edits.contains { !$0.isOfResponse } }

    // MARK: Putting one together

    mutating func conclude(_ verdict: Verdict) { self.verdict = verdict }

    /// There is no answer in what came.
    mutating func fail() { clear() }

    /// False = too many.
    mutating func add(_ action: Action, isOfResponse: Bool, _ name: LentBytes, _ value: LentBytes = LentBytes()) -> Bool {
        guard edits.count < Self.editsMax, text.count + name.count + value.count <= Self.editBytesMax else { return false }
        let start = text.count
        unsafe text.append(name.buffer)
        unsafe text.append(value.buffer)
        let middle = start + name.count
        edits.append(Edit(action: action, isOfResponse: isOfResponse, name: start..<middle, value: middle..<middle + value.count))
        return true
    }

    mutating func noteDropped() { droppedFields += 1 }

    /// False = too much.
    mutating func setBody(_ bytes: LentBytes) -> Bool {
        guard bytes.count <= Self.bodyBytesMax else { return false }
        body.clear(keeping: 4096)
        unsafe body.append(bytes.buffer)
        return true
    }
}
