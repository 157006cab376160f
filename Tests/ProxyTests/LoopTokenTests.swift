import Primitives
@testable import Proxy
import Testing

@Suite struct LoopTokenTests {
    /// An event is served by whom its token names; kinds and slots must not run into each other.
    @Test func keepsKindAndSlotApart() {
        for kind in LoopToken.Kind.allCases {
            for index in [0, 1, 0x0FFF_FFFF] as [UInt32] {
                for generation in [0, 1, UInt32.max] {
                    let token = LoopToken(kind, SlotID(index: index, generation: generation))
                    let back = LoopToken(rawValue: token.rawValue)
                    #expect(back.kind == kind)
                    #expect(back.id == SlotID(index: index, generation: generation))
                }
            }
        }
    }

    /// A connection without an owner has the token 0: it must name nobody.
    @Test func noneIsZero() {
        for kind in LoopToken.Kind.allCases { #expect(LoopToken(kind, SlotID(index: 0, generation: 1)).rawValue != 0) }
    }
}
