import Glibc
@testable import Proxy
import TelemetryModel
import Testing

/// Random interleavings of bytes, resets, closes, timers and reloads: every request ends once, is counted once, is logged once, and gives
/// back every slot, token and connection it held (`SimulatedProxy.expectEmpty`).
///
/// `SKEIN_SIMULATION_SEEDS` sets how many worlds are tried, `SKEIN_SIMULATION_SEED` picks one of them.
@Suite struct InterleavingTests {
    private static func number(_ name: String) -> UInt64? { unsafe getenv(name).flatMap { unsafe UInt64(String(cString: $0)) } }

    private static let shards: UInt64 = 2

    @Test(arguments: 0..<shards)
    func everyRequestGivesBackWhatItHeld(_ shard: UInt64) throws {
        if let seed = Self.number("SKEIN_SIMULATION_SEED") {
            if shard == 0 { try RandomWorld(seed: seed).live() }
            return
        }
        for seed in stride(from: shard, to: Self.number("SKEIN_SIMULATION_SEEDS") ?? 300, by: Int(Self.shards)) {
            try RandomWorld(seed: seed).live()
        }
    }

    /// The same of requests that wait for an external authorizer, their bodies kept or not, while policies come and change.
    @Test(arguments: 0..<shards)
    func everyCheckedRequestGivesBackWhatItHeld(_ shard: UInt64) throws {
        if let seed = Self.number("SKEIN_SIMULATION_SEED") {
            if shard == 0 { try RandomWorld(seed: seed, isChecked: true).live() }
            return
        }
        for seed in stride(from: shard, to: Self.number("SKEIN_SIMULATION_SEEDS") ?? 200, by: Int(Self.shards)) {
            try RandomWorld(seed: seed, isChecked: true).live()
        }
    }

    /// Checks end in every way that there is.
    @Test func checksAreVaried() throws {
        var ends: Set<ResponseCodeDetails> = []
        for seed in 2000..<2060 as Range<UInt64> {
            let world = try RandomWorld(seed: seed, isChecked: true)
            try world.live()
            ends.formUnion(world.proxy.finished.map(\.record.details))
        }
        let wanted: Set<ResponseCodeDetails> = [
            .viaUpstream, .externalAuthorizationDenied, .externalAuthorizationError, .requestPayloadTooLarge, .downstreamRemoteDisconnect,
            .http2RemoteReset, .streamIdleTimeout,
        ]
        #expect(wanted.subtracting(ends).isEmpty)
    }

    /// A failure must come again with its seed: to the nanosecond and the last flag.
    @Test(arguments: [3, 14, 15] as [UInt64])
    func aSeedIsAWorld(_ seed: UInt64) throws {
        func life() throws -> [String] {
            let world = try RandomWorld(seed: seed)
            try world.live()
            return world.proxy.finished.map { finished in
                let record = finished.record
                return "\(finished.path ?? "-") \(record.responseCode) \(record.flags.rawValue) \(record.details) "
                    + "\(record.startUnixNanoseconds) \(record.times.downstreamSendEnd) \(record.traceID)"
            }
        }
        let first = try life()
        #expect(try life() == first)
        #expect(!first.isEmpty)
    }

    /// Worlds in which nothing goes wrong would find nothing: between them, requests end in most ways that there are.
    @Test func worldsAreVaried() throws {
        var ends: Set<ResponseCodeDetails> = []
        var flags: ResponseFlags = []
        for seed in 1000..<1060 as Range<UInt64> {
            let world = try RandomWorld(seed: seed)
            try world.live()
            for finished in world.proxy.finished {
                ends.insert(finished.record.details)
                flags.formUnion(finished.record.flags)
            }
        }
        let wanted: Set<ResponseCodeDetails> = [
            .viaUpstream, .routeNotFound, .upstreamResponseTimeout, .upstreamPerTryTimeout, .streamIdleTimeout, .downstreamRemoteDisconnect,
            .connectionTerminationBeforeResponse, .connectionTerminationAfterResponse, .connectionRefusedBeforeResponse,
            .protocolErrorBeforeResponse, .faultFilterAbort, .overflowBeforeResponse, .http2RemoteReset,
        ]
        #expect(wanted.subtracting(ends).isEmpty)
        let seen: ResponseFlags = [.delayInjected, .upstreamRetryLimitExceeded, .downstreamRemoteReset, .durationTimeout, .upstreamOverflow]
        #expect(flags.isSuperset(of: seen))
    }

    /// TCP connections: bytes arrive whole, once and at whom they are for, and every connection gives back what it held.
    @Test(arguments: 0..<shards)
    func everyTunnelGivesBackWhatItHeld(_ shard: UInt64) throws {
        if let seed = Self.number("SKEIN_SIMULATION_SEED") {
            if shard == 0 { try TunnelWorld(seed: seed).live() }
            return
        }
        for seed in stride(from: shard, to: Self.number("SKEIN_SIMULATION_SEEDS") ?? 200, by: Int(Self.shards)) {
            try TunnelWorld(seed: seed).live()
        }
    }

    /// Connections end in most ways that there are.
    @Test func tunnelsAreVaried() throws {
        var flags: ResponseFlags = []
        var ends: Set<ResponseCodeDetails> = []
        var whole = 0
        for seed in 3000..<3060 as Range<UInt64> {
            let world = try TunnelWorld(seed: seed)
            try world.live()
            for finished in world.proxy.finished {
                flags.formUnion(finished.record.flags)
                ends.insert(finished.record.details)
            }
            whole += world.whole
        }
        let seen: ResponseFlags = [
            .durationTimeout, .streamIdleTimeout, .upstreamOverflow, .upstreamConnectionFailure, .downstreamConnectionTermination,
        ]
        #expect(flags.isSuperset(of: seen), "\(flags.subtracting(seen)), \(seen.subtracting(flags)), \(ends)")
        #expect(whole > 20)
    }
}
