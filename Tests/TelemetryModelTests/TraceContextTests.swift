import Primitives
import TelemetryModel
import Testing

@Suite struct TraceContextTests {
    static let trace = "463ac35c9f6413ad48485a3953bb6124"
    static let span = "a2fb4a1d1a96d312"
    static let parent = "0020000000000001"

    func extract(_ headers: [String: String], _ option: TraceContextOption = .useB3WithW3CPropagation) -> TraceContext {
        let names = ["b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "traceparent", "tracestate"]
        var text: [UInt8] = []
        let ranges = names.map { name -> Range<Int> in
            let start = text.count
            text += Array((headers[name] ?? "").utf8)
            return start..<text.count
        }
        let has = names.map { headers[$0] != nil }
        let bytes = unsafe text.span.bytes
        return TraceContext.extract(
            option: option,
            b3: has[0] ? bytes.extracting(ranges[0]) : nil, b3TraceID: has[1] ? bytes.extracting(ranges[1]) : nil,
            b3SpanID: has[2] ? bytes.extracting(ranges[2]) : nil, b3ParentSpanID: has[3] ? bytes.extracting(ranges[3]) : nil,
            b3Sampled: has[4] ? bytes.extracting(ranges[4]) : nil, b3Flags: has[5] ? bytes.extracting(ranges[5]) : nil,
            traceparent: has[6] ? bytes.extracting(ranges[6]) : nil, tracestate: has[7] ? bytes.extracting(ranges[7]) : nil)
    }

    func value(_ context: TraceContext, _ header: TraceHeader) -> String {
        var bytes: [UInt8] = []
        context.append(header, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func readsAndWritesTheMultiHeaderForm() {
        let context = extract([
            "x-b3-traceid": Self.trace, "x-b3-spanid": Self.span, "x-b3-parentspanid": Self.parent, "x-b3-sampled": "1",
        ])
        #expect(context.traceID == TraceID(high: 0x463a_c35c_9f64_13ad, low: 0x4848_5a39_53bb_6124))
        #expect(context.spanID == SpanID(0xa2fb_4a1d_1a96_d312))
        #expect(context.parentSpanID == SpanID(0x20_0000_0000_0001))
        #expect(context.decision == .accept)
        #expect(value(context, .b3TraceID) == Self.trace)
        #expect(value(context, .b3SpanID) == Self.span)
        #expect(value(context, .b3ParentSpanID) == Self.parent)
        #expect(value(context, .b3Sampled) == "1")
        #expect(!context.sends(.b3Flags, option: .useB3))
        #expect(!context.sends(.traceparent, option: .useB3))
    }

    @Test func theSingleHeaderBeatsTheMultiForm() {
        let context = extract([
            "b3": "\(Self.trace)-\(Self.span)-d-\(Self.parent)", "x-b3-traceid": "00000000000000aa", "x-b3-spanid": "00000000000000bb",
            "x-b3-sampled": "0",
        ])
        #expect(context.spanID == SpanID(0xa2fb_4a1d_1a96_d312))
        #expect(context.decision == .debug)
        #expect(value(context, .b3Single) == "\(Self.trace)-\(Self.span)-d-\(Self.parent)")
        #expect(context.sends(.b3Flags, option: .useB3) && !context.sends(.b3Sampled, option: .useB3))
    }

    @Test func aMalformedSingleHeaderFallsBackToTheMultiForm() {
        let context = extract(["b3": "nonsense", "x-b3-traceid": "00000000000000aa", "x-b3-spanid": "00000000000000bb"])
        #expect(context.traceID == TraceID(high: 0, low: 0xaa) && context.source == .b3Multi && context.decision == .none)
        #expect(value(context, .b3TraceID) == "00000000000000aa")
    }

    @Test(arguments: [
        ("0", SamplingDecision.reject), ("1", .accept), ("d", .debug),
    ])
    func aLoneStateIsADecisionWithoutIdentifiers(_ header: String, _ decision: SamplingDecision) {
        let context = extract(["b3": header])
        #expect(!context.hasIdentifiers && context.decision == decision)
        #expect(value(context, .b3Single) == header)
        #expect(!context.sends(.b3TraceID, option: .useB3))
    }

    @Test(arguments: [
        "1", "0", "true", "false", "TRUE", "False", "yes", "", "2", "11",
    ])
    func sampledIsReadLeniently(_ text: String) {
        let expected: SamplingDecision =
            switch text.lowercased() {
            case "1", "true": .accept
            case "0", "false": .reject
            default: .none
            }
        #expect(extract(["x-b3-sampled": text]).decision == expected)
    }

    @Test func flagsOneMeansDebugWhateverSampledSays() {
        #expect(extract(["x-b3-flags": "1", "x-b3-sampled": "0"]).decision == .debug)
        #expect(extract(["x-b3-flags": "0", "x-b3-sampled": "0"]).decision == .reject)
    }

    @Test(arguments: [
        "0000000000000000", "00000000000000000000000000000000", "0", "463ac35c9f6413adg", "463ac35c9f6413ad48485a3953bb61245", "",
        "0x3ac35c9f6413ad", "+1", "-1", "1 2",
    ])
    func anInvalidTraceIDRestartsTheTraceButKeepsTheDecision(_ identifier: String) {
        let context = extract(["x-b3-traceid": identifier, "x-b3-spanid": Self.span, "x-b3-sampled": "0"])
        #expect(!context.hasIdentifiers && context.spanID.isNone && context.decision == .reject)
    }

    @Test(arguments: [
        "463ac35c9f6413ad-", "463ac35c9f6413ad-a2fb4a1d1a96d312-", "463ac35c9f6413ad-a2fb4a1d1a96d312-x",
        "463ac35c9f6413ad-a2fb4a1d1a96d312-1-", "463ac35c9f6413ad-a2fb4a1d1a96d312-1-1g",
        "463ac35c9f6413ad-a2fb4a1d1a96d312-1-00020000000000001", "463ac35c9f6413ad-0000000000000000-1",
        "463ac35c9f6413ad_a2fb4a1d1a96d312", "-", "--", "x", "", "463ac35c9f6413ad-a2fb4a1d1a96d312-1-0020000000000001-1",
    ])
    func malformedSingleHeadersAreIgnored(_ text: String) {
        #expect(extract(["b3": text]) == TraceContext())
    }

    /// Clients that print a number without its zeros, or in capitals, began a new trace here and went on with theirs through Envoy.
    @Test(arguments: [
        ("463AC35C9F6413AD48485A3953BB6124", "463ac35c9f6413ad48485a3953bb6124"), ("463AC35C9F6413AD", "463ac35c9f6413ad"),
        ("463ac35c9f6413a", "0463ac35c9f6413a"),
        ("1", "0000000000000001"), ("463ac35c9f6413ad48485a3953bb612", "0463ac35c9f6413ad48485a3953bb612"),
        ("1463ac35c9f6413ad", "0000000000000001463ac35c9f6413ad"),
        ("0000000000000000463ac35c9f6413ad", "463ac35c9f6413ad"),
    ])
    func shortAndCapitalIdentifiersGoOn(_ identifier: String, _ expected: String) {
        for context in [
            extract(["x-b3-traceid": identifier, "x-b3-spanid": "AB", "x-b3-parentspanid": "C"]), extract(["b3": "\(identifier)-AB-1-C"]),
            extract(["b3": "\(identifier)-ab-0C"]),
        ] {
            #expect(value(context, .b3TraceID) == expected)
            #expect(context.spanID == SpanID(0xab) && context.parentSpanID == SpanID(0xc))
        }
    }

    /// What we send on is both; whichever of them an application hands on, the trace is the same.
    @Test func aTraceGoesOnByEitherOfTheFamiliesWeSend() {
        let incoming = [
            ["traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            ["x-b3-traceid": Self.trace, "x-b3-spanid": Self.span, "x-b3-sampled": "1"],
            ["b3": "\(Self.trace)-\(Self.span)-1"], ["x-b3-traceid": "AB", "x-b3-spanid": "CD", "x-b3-sampled": "0"],
            [
                "x-b3-traceid": Self.trace, "x-b3-spanid": Self.span,
                "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ],
        ]
        for headers in incoming {
            let sent = extract(headers).child(SpanID(0x77))
            var all: [String: String] = [:]
            for header in TraceHeader.allCases where sent.sends(header, option: .useB3WithW3CPropagation) {
                all["\(header.name)"] = value(sent, header)
            }
            #expect(all["traceparent"] != nil && all["x-b3-traceid"] != nil)
            let families = [
                all.filter { $0.key == "traceparent" }, all.filter { $0.key.hasPrefix("x-b3") },
                all.filter { $0.key == "b3" || $0.key.hasPrefix("x-b3") }, all,
            ]
            for family in families {
                let next = extract(family)
                #expect(next.traceID == sent.traceID && next.spanID == SpanID(0x77), "\(family)")
                if sent.decision != .none { #expect(next.decision == sent.decision) }
            }
        }
    }

    /// A library that knows 64 bits only hands on the lower half (semantics 2.11); `traceparent` still has all of them.
    @Test func halfATraceIDIsTheSameTrace() {
        let context = extract([
            "x-b3-traceid": "a3ce929d0e0e4736", "x-b3-spanid": Self.span,
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=b"
        ])
        #expect(
            value(context, .b3TraceID) == "4bf92f3577b34da6a3ce929d0e0e4736" && context.spanID == SpanID(0xa2fb_4a1d_1a96_d312)
                && context.keepsTracestate)
    }

    @Test func readsTraceparentOnlyWhenAsked() {
        let header = ["traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", "tracestate": "congo=t61rcWkgMzE"]
        #expect(extract(header, .useB3) == TraceContext())
        let context = extract(header)
        #expect(context.source == .w3c && context.decision == .accept && context.isRandom && context.keepsTracestate)
        #expect(value(context, .traceparent) == header["traceparent"]!)
        #expect(context.sends(.traceparent, option: .useB3WithW3CPropagation))
        let child = context.child(SpanID(1))
        #expect(value(child, .traceparent) == "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000001-03")
        #expect(child.parentSpanID == SpanID(0x00f0_67aa_0ba9_02b7))
    }

    @Test(arguments: [
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x", "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0G", "",
    ])
    func invalidTraceparentIsIgnoredWhole(_ text: String) {
        #expect(extract(["traceparent": text, "tracestate": "a=b"]) == TraceContext())
    }

    @Test func laterTraceparentVersionsAreReadLeniently() {
        let base = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
        #expect(extract(["traceparent": base]).decision == .reject)
        #expect(extract(["traceparent": base + "-what-the-future-brings"]).hasIdentifiers)
    }

    @Test func tracestateIsKeptOnlyWhenWellFormedAndOfThisTrace() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        func keeps(_ state: String) -> Bool { extract(["traceparent": parent, "tracestate": state]).keepsTracestate }
        #expect(keeps("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE") && keeps(" a=b , , c@d=e f ") && keeps("1a-_*/=v"))
        for bad in ["", ",", "a", "a=", "=b", "A=b", "a=b,a=c", "a=b=c", "a=\u{7}", "a=é", "_a=b"] { #expect(!keeps(bad), "\(bad)") }
        #expect(keeps((0..<32).map { "k\($0)=v" }.joined(separator: ",")))
        #expect(!keeps((0..<33).map { "k\($0)=v" }.joined(separator: ",")))
        // The state of another trace than the one that B3 names must not be forwarded with it.
        let other = extract(["traceparent": parent, "tracestate": "a=b", "b3": "\(Self.trace)-\(Self.span)-1"])
        #expect(other.source == .b3Single && !other.keepsTracestate)
    }

    @Test func hexRoundTripsAndRefusesEverythingElse() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            let value = generator.next()
            var bytes: [UInt8] = []
            HexCodec.append16(value, to: &bytes)
            let plain = String(value, radix: 16)
            #expect(String(decoding: bytes, as: UTF8.self) == String(repeating: "0", count: 16 - plain.count) + plain)
            let decoded = unsafe HexCodec.decode16(bytes.span.bytes, at: 0)
            #expect(decoded == value)
        }
        for bad in UInt8.min...UInt8.max where !"0123456789abcdef".utf8.contains(bad) {
            for position in [0, 7, 8, 15] {
                var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: 16)
                bytes[position] = bad
                let decoded = unsafe HexCodec.decode16(bytes.span.bytes, at: 0)
                #expect(decoded == nil)
            }
        }
    }

    /// Header bytes come from anyone: whatever they are, extraction returns.
    @Test func mutatedHeadersNeverTrap() {
        var seed: UInt64 = 0x5EED
        func random() -> Int {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(seed >> 33)
        }
        for _ in 0..<20_000 {
            var bytes = Array("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-1,a=b".utf8)
            for _ in 0..<(random() % 4) { bytes[random() % bytes.count] = UInt8(truncatingIfNeeded: random()) }
            let span = unsafe bytes.span.bytes.extracting(0..<(random() % (bytes.count + 1)))
            let context = TraceContext.extract(
                option: .useB3WithW3CPropagation, b3: span, b3TraceID: span, b3SpanID: span, b3ParentSpanID: span, b3Sampled: span,
                b3Flags: span, traceparent: span, tracestate: span)
            #expect(context.hasIdentifiers == !context.spanID.isNone)
        }
    }
}
