internal import Primitives

/// A place of a request that may carry a token.
struct TokenPlaceEntry: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case header, parameter, cookie }

    var kind = Kind.header
    /// In `text`; of a header in lower case.
    var name = TableRange()
    /// What stands in front of the token; empty = nothing.
    var prefix = TableRange()
    /// A scheme of authentication, whose case does not count (RFC 9110 11.1).
    var ignoresCase = false
}

/// Rules that look for tokens at the same places.
struct TokenGroupEntry: BitwiseCopyable {
    var places = TableRange()
    /// Of `groupRules`, in the order of the rules.
    var rules = TableRange()
}

/// A claim that is passed on as a header: both in `text`.
struct ClaimHeaderEntry: BitwiseCopyable {
    var claim = TableRange()
    var header = TableRange()
}

/// One rule of a RequestAuthentication.
struct TokenRuleEntry: BitwiseCopyable {
    var issuer = TableRange()
    /// Of `texts`, without what does not count (`TokenAudience`); none = any audience will do.
    var audiences = TableRange()
    /// Claims whose text is a list of words; of `texts`.
    var wordClaims = TableRange()
    var claimHeaders = TableRange()
    /// In `text`; empty = the payload is not passed on.
    var payloadHeader = TableRange()
    /// Row in `IssuerKeys`.
    var keys: Int32 = -1
    var group: UInt32 = 0
    var forwardsToken = false
}

/// All tables of a `TokenRuleSet`.
struct TokenRows: BitwiseCopyable {
    /// Another one with every set: what was verified for one is not good for another.
    var serial: UInt64 = 0
    /// A request needs a token.
    var isRequired = false
    var text = Table<UInt8>()
    var texts = Table<TableRange>()
    var places = Table<TokenPlaceEntry>()
    var groups = Table<TokenGroupEntry>()
    var groupRules = Table<UInt32>()
    var rules = Table<TokenRuleEntry>()
    var claimHeaders = Table<ClaimHeaderEntry>()
    /// Headers that only rules write: what clients send under these names is dropped. In `text`.
    var ownHeaders = Table<TableRange>()
}

/// The tables by one pointer; a copy counts no reference. Good as long as the set.
@safe
struct TokenView: BitwiseCopyable {
    private let address: UnsafePointer<TokenRows>

    init(_ address: UnsafePointer<TokenRows>) { unsafe self.address = unsafe address }

    /// Read in place.
    var rows: TokenRows {
        @inline(__always)
        unsafeAddress { unsafe address }
    }

    func text(_ range: TableRange) -> LentBytes { rows.text.bytes(range) }
}
