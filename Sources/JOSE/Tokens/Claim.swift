public import Primitives

/// One value of a payload, lent by the `TokenReader` until it reads again.
public struct Claim {
    public enum Kind: Sendable { case string, number, isTrue, isFalse, null }

    public let kind: Kind
    /// A string without quotes and escapes, a number as it was written, or true, false, null.
    public let value: LentBytes
    /// One of a list's elements. There is one claim for each, all of one path.
    public let isListElement: Bool
    /// How many names lead to it: see `TokenReader.pathName`.
    public let pathCount: Int
    let index: Int
}

/// Which values of a payload are claims.
struct FlattenedClaims {
    struct Found {
        var value: UInt32
        var isListElement: Bool
    }

    private(set) var claims: [Found] = []
    private(set) var leftOut = 0
    private(set) var nestedInLists = 0

    mutating func clear() {
        claims.removeAll(keepingCapacity: true)
        leftOut = 0
        nestedInLists = 0
    }

    /// `payload` is an object.
    mutating func read(_ payload: borrowing JSONDocument, max: Int) {
        var index = 1
        while index < payload.values.count {
            let value = payload.values[index]
            let isInList = payload.values[Int(value.parent)].kind == .list
            switch value.kind {
            case .object, .list:
                if isInList {
                    nestedInLists += 1
                    index = Int(value.next)
                    continue
                }
            case .string, .number, .isTrue, .isFalse, .null:
                if claims.count < max {
                    claims.append(Found(value: UInt32(truncatingIfNeeded: index), isListElement: isInList))
                } else {
                    leftOut += 1
                }
            }
            index += 1
        }
    }
}
