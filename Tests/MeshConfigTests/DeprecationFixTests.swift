import Glibc
import MeshConfig
import Testing

/// `--fix`: modern names in place of deprecated ones, and every other byte as it was.
@Suite struct DeprecationFixTests {
    static func fix(_ text: String) -> DeprecationFix { DeprecationFix(file: "t.yaml", bytes: Array(text.utf8)) }

    static func text(_ fix: DeprecationFix) -> String { String(decoding: fix.after, as: UTF8.self) }

    static func deprecations(_ text: String) -> [Diagnostic] { TestFiles.load(text).1.items.filter { $0.code == "IST0002" } }

    private static func route(_ fields: String) -> String {
        TestFiles.resource("VirtualService", "hosts: [a]\nhttp:\n- route: [{destination: {host: a}}]\n  \(fields)")
    }
    private static func policy(_ fields: String) -> String { TestFiles.resource("DestinationRule", "host: a\ntrafficPolicy:\n  \(fields)") }

    /// Before and after; comments, quotes and odd spacing stay.
    @Test(arguments: [
        (
            policy("outlierDetection:\n    # how many\n    consecutiveErrors:   5   # in a row"),
            policy("outlierDetection:\n    # how many\n    consecutiveGatewayErrors:   5   # in a row")),
        (
            policy("outlierDetection: {consecutiveErrors: 5, interval: 1s}"),
            policy("outlierDetection: {consecutiveGatewayErrors: 5, interval: 1s}")),
        (policy("outlierDetection: {consecutive_errors: 5}"), policy("outlierDetection: {consecutiveGatewayErrors: 5}")),
        (policy("outlierDetection: {\"consecutiveErrors\":5}"), policy("outlierDetection: {\"consecutiveGatewayErrors\":5}")),
        (policy("loadBalancer: {simple: LEAST_CONN} # LEAST_CONN"), policy("loadBalancer: {simple: LEAST_REQUEST} # LEAST_CONN")),
        (policy("loadBalancer: {simple: 'LEAST_CONN'}"), policy("loadBalancer: {simple: 'LEAST_REQUEST'}")),
        (
            policy("loadBalancer:\n    simple: ROUND_ROBIN\n    warmupDurationSecs: 30s # slowly"),
            policy("loadBalancer:\n    simple: ROUND_ROBIN\n    warmup: {duration: 30s} # slowly")),
        (
            policy("loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 64}}"),
            policy("loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 64}}}")),
        (route("mirror: {host: b}\n  mirrorPercent: 10 # of all"), route("mirror: {host: b}\n  mirrorPercentage: {value: 10} # of all")),
        (
            #"{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"x"},"spec":{"hosts":["a"],"#
                + #""http":[{"route":[{"destination":{"host":"a"}}],"mirror":{"host":"b"},"#
                + #""mirrorPercent":10,"corsPolicy":{"allowOrigin":["*"]}}]}}"#,
            #"{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"x"},"spec":{"hosts":["a"],"#
                + #""http":[{"route":[{"destination":{"host":"a"}}],"mirror":{"host":"b"},"mirrorPercentage":{"value": 10},"#
                + #""corsPolicy":{"allowOrigins":[{"regex": ".*"}]}}]}}"#
        ),
        (route("fault: {delay: {percent: 7, fixedDelay: 1s}}"), route("fault: {delay: {percentage: {value: 7}, fixedDelay: 1s}}")),
        (
            route("fault:\n    delay:\n      percent: 0x07\n      exponentialDelay: \"1s\""),
            route("fault:\n    delay:\n      percentage: {value: 0x07}\n      fixedDelay: \"1s\"")),
        (
            route("corsPolicy:\n    allowOrigin:\n    - http://a # ours\n    - \"*\"\n    -   'http://b'"),
            route("corsPolicy:\n    allowOrigins:\n    - exact: http://a # ours\n    - regex: \".*\"\n    -   exact: 'http://b'")),
        (
            route("corsPolicy: {allowOrigin: [http://a, '*' , \"b\"]}"),
            route("corsPolicy: {allowOrigins: [{exact: http://a}, {regex: \".*\"} , {exact: \"b\"}]}")),
        (route("corsPolicy: {allowOrigin: []}"), route("corsPolicy: {allowOrigins: []}")),
        (
            TestFiles.resource("RequestAuthentication", "jwtRules: [{issuer: x, jwksUrl: 'https://x'}]"),
            TestFiles.resource("RequestAuthentication", "jwtRules: [{issuer: x, jwksUri: 'https://x'}]")
        ),
        (
            TestFiles.resource(
                "Telemetry", "targetRef:\n  kind: Gateway # which\n  name: gw\n  group: gateway.networking.k8s.io\ntracing: []"),
            TestFiles.resource(
                "Telemetry", "targetRefs:\n- kind: Gateway # which\n  name: gw\n  group: gateway.networking.k8s.io\ntracing: []")
        ),
        (
            TestFiles.resource("Telemetry", "targetRef: {kind: Gateway, name: gw}"),
            TestFiles.resource("Telemetry", "targetRefs: [{kind: Gateway, name: gw}]")
        ),
        (
            TestFiles.resource("IstioOperator", "meshConfig: {defaultConfig: {zipkinAddress: 'z:9411'}}"),
            TestFiles.resource("IstioOperator", "meshConfig: {defaultConfig: {tracing: {zipkin: {address: 'z:9411'}}}}")
        ),
    ])
    func rewrites(before: String, after: String) {
        let fix = Self.fix(before)
        #expect(Self.text(fix) == after)
        #expect(fix.left.isEmpty && !fix.rewritten.isEmpty, "\(fix.left.map(\.line))")
        #expect(Self.deprecations(after).isEmpty, "\(Self.deprecations(after).map(\.text))")
        // Once more, and nothing is left to do.
        #expect(!Self.fix(after).hasChanges && Self.fix(after).left.isEmpty)
    }

    /// What cannot be rewritten is said, and stays.
    @Test(arguments: [
        (policy("outlierDetection: {consecutiveErrors: 5, consecutiveGatewayErrors: 3}"), "consecutiveGatewayErrors is there as well"),
        (route("mirror: {host: b}\n  mirrorPercent: 10\n  mirrorPercentage: {value: 5}"), "mirrorPercentage is there as well"),
        (
            policy("loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 64, maglev: {tableSize: 5}}}"),
            "maglev is there as well"),
        (route("corsPolicy: {allowOrigin: [&a http://a, *a]}"), "unusual way"),
        (route("mirror: {host: b}\n  mirrorPercent: &p 10"), "unusual way"),
        (route("fault: {delay: {fixedDelay: 1s, percent: !!int \"7\"}}"), "unusual way"),
        (TestFiles.resource("IstioOperator", "meshConfig: {disablePolicyChecks: true}"), "no replacement"),
    ])
    func leaves(text: String, why: String) {
        let fix = Self.fix(text)
        #expect(!fix.hasChanges && fix.diff.isEmpty)
        #expect(fix.left.contains { $0.text.contains(why) }, "\(fix.left.map(\.line))")
    }

    /// The place behind an alias is the anchor's.
    @Test func anchorsAreRewrittenWhereTheyAre() {
        let text = Self.policy(
            "outlierDetection: &o {consecutiveErrors: 5}\n  portLevelSettings: [{port: {number: 80}, outlierDetection: *o}]")
        let fix = Self.fix(text)
        #expect(
            Self.text(fix) == text.replacing("consecutiveErrors", with: "consecutiveGatewayErrors") && fix.left.isEmpty,
            "\(fix.left.map(\.line))")
        let elsewhere = "x: &o {consecutiveErrors: 5}\n" + Self.policy("outlierDetection: *o")
        #expect(!Self.fix(elsewhere).hasChanges && Self.fix(elsewhere).left.map(\.text).first?.contains("behind an anchor") == true)
    }

    @Test func otherTextIsKeptByteForByte() {
        let text =
            "\u{FEFF}# é \u{1F600} \u{2028} x\r\n---\r\napiVersion: networking.istio.io/v1\r\nkind: DestinationRule\r\n"
                + "metadata: {name: é-is-no-name}\r\nspec: {host: a, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}}\r\n...\r\n# end"
        let fix = Self.fix(text)
        #expect(Self.text(fix) == text.replacing("LEAST_CONN", with: "LEAST_REQUEST"))
        #expect(fix.diff.hasSuffix(" # end\n\\ No newline at end of file\n"))
        let list =
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: DestinationRule\n  metadata: {name: x}\n"
                + "  spec: {host: a, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}}\n"
        #expect(Self.text(Self.fix(list)) == list.replacing("LEAST_CONN", with: "LEAST_REQUEST"))
    }

    /// A file with mistakes of other kinds is rewritten all the same; one that cannot be read is not.
    @Test func mistakesElsewhere() {
        #expect(Self.fix(Self.policy("loadBalancer: {simple: LEAST_CONN}\n  typo: 1")).hasChanges)
        let broken = Self.fix(Self.policy("loadBalancer: {simple: LEAST_CONN}") + "---\n{")
        #expect(!broken.hasChanges && broken.left.map(\.text) == ["not rewritten: correct the YAML of the file first"])
        #expect(!Self.fix(Self.policy("loadBalancer: {simple: LEAST_CONN, simple: RANDOM}")).hasChanges)
    }

    @Test func aDiffThatPatchReads() {
        let text = (1...20).map { "# line \($0)\n" }.joined() + Self.policy("loadBalancer: {simple: LEAST_CONN}")
        #expect(
            Self.fix(text).diff == """
                --- t.yaml
                +++ t.yaml
                @@ -26,4 +26,4 @@
                 spec:
                   host: a
                   trafficPolicy:
                -    loadBalancer: {simple: LEAST_CONN}
                +    loadBalancer: {simple: LEAST_REQUEST}

                """)
    }

    /// The seeds: after the rewriting they say the same and nothing is deprecated.
    @Test func theSeedsSayTheSameAfterwards() {
        for name in TestFiles.names(in: SeedTests.seed) {
            let text = TestFiles.read("\(SeedTests.seed)/\(name)") ?? ""
            let fix = Self.fix(text)
            #expect(fix.hasChanges == !Self.deprecations(text).isEmpty && fix.left.isEmpty, "\(name)")
            #expect(Self.deprecations(Self.text(fix)).isEmpty, "\(name)")
        }
        let rule = TestFiles.load(Self.text(Self.fix(TestFiles.read("\(SeedTests.seed)/02-destinationrule-reviews.yaml") ?? ""))).0
            .destinationRules.first
        #expect(
            rule?.trafficPolicy?.outlierDetection?.consecutiveGatewayErrors == 3
                && rule?.trafficPolicy?.loadBalancer?.simple == .leastRequest)
    }

    @Test func filesAreReplacedWholeAndKeepTheirMode() {
        let folder = "/tmp/skein-fix-\(getpid())"
        unsafe mkdir(folder, 0o755)
        let path = "\(folder)/a.yaml"
        defer {
            for name in TestFiles.names(in: folder) { unsafe unlink("\(folder)/\(name)") }
            unsafe rmdir(folder)
        }
        TestFiles.write(Self.policy("loadBalancer: {simple: LEAST_CONN}"), to: path)
        unsafe chmod(path, 0o640)
        unsafe symlink("a.yaml", "\(folder)/link.yaml")
        let fixes = MeshAnalysis.run(from: ["\(folder)/link.yaml"]).deprecationFixes()
        #expect(fixes.compactMap { $0.write() } == [])
        var status = stat()
        #expect(unsafe lstat("\(folder)/link.yaml", &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
        #expect(unsafe lstat(path, &status) == 0 && status.st_mode & 0o7777 == 0o640)
        #expect(TestFiles.read(path) == Self.policy("loadBalancer: {simple: LEAST_REQUEST}"))
        #expect(TestFiles.names(in: folder) == ["a.yaml", "link.yaml"])
        // What was saved in the meantime is not overwritten.
        TestFiles.write(Self.policy("loadBalancer: {simple: RANDOM}"), to: path)
        #expect(
            fixes.first?.write()?.contains("changed in the meantime") == true
                && TestFiles.read(path) == Self.policy("loadBalancer: {simple: RANDOM}"))
        #expect(
            DeprecationFix(file: "\(folder)/none.yaml", bytes: Array(Self.policy("loadBalancer: {simple: LEAST_CONN}").utf8)).write()?
                .contains("cannot be written") == true)
    }
}

/// Deprecated fields in every style of YAML, at random: all are rewritten, and nothing else changes.
@Suite struct DeprecationFixPropertyTests {
    private indirect enum Tree {
        case map([(String, Tree)])
        case list([Tree])
        case text(String)

        /// In one of YAML's styles; `column` = of a block's lines.
        func yaml(_ random: inout SplitMix, column: Int, isFlow: Bool) -> String {
            let pad = String(repeating: " ", count: column)
            let comment = { (random: inout SplitMix) in
                isFlow || random.next() % 4 > 0 ? "" : " # \(random.next() % 10) é LEAST_CONN consecutiveErrors: 1"
            }
            func key(_ name: String, _ random: inout SplitMix) -> String {
                ["\(name)", "\(name)", "\"\(name)\"", "'\(name)'"][Int(random.next() % 4)]
            }
            switch self {
            case .text(let text):
                return text
            case .map(let pairs) where isFlow || random.next() % 4 == 0:
                return "{" + pairs.map { "\(key($0.0, &random)): \($0.1.yaml(&random, column: 0, isFlow: true))" }.joined(separator: ", ")
                    + "}"
            case .list(let items) where isFlow || random.next() % 4 == 0:
                return "["
                    + items.map { $0.yaml(&random, column: 0, isFlow: true) }.joined(separator: random.next() % 2 == 0 ? ", " : " , ") + "]"
            case .map(let pairs):
                return pairs.map { name, value in
                    "\n\(pad)\(key(name, &random)): " + value.yaml(&random, column: column + 2, isFlow: false) + comment(&random)
                }.joined()
            case .list(let items):
                return items.map { "\n\(pad)- " + $0.yaml(&random, column: column + 2, isFlow: false) + comment(&random) }.joined()
            }
        }
    }

    private static func document(_ random: inout SplitMix) -> Tree {
        func some(_ pairs: [(String, Tree)]) -> [(String, Tree)] { pairs.filter { _ in random.next() % 3 > 0 } }
        let policy = Tree.map(
            [
                (
                    "loadBalancer",
                    .map(
                        [
                            random.next() % 2 == 0
                                ? ("simple", .text("LEAST_CONN"))
                                : ("consistentHash", .map([("useSourceIp", .text("true"))] + some([("minimumRingSize", .text("64"))])))
                        ] + some([("warmupDurationSecs", .text("\"30s\""))])))
            ]
                + some([("outlierDetection", .map([("interval", .text("1s"))] + some([("consecutiveErrors", .text("5"))])))]))
        let route = Tree.map(
            [("route", .list([.map([("destination", .map([("host", .text("a"))]))])])), ("mirror", .map([("host", .text("b"))]))]
                + some([
                    ("mirrorPercent", .text("7")),
                    ("fault", .map([("delay", .map([("percent", .text("3")), ("fixedDelay", .text("1s"))]))])),
                    ("corsPolicy", .map([("allowOrigin", .list([.text("http://a"), .text("'*'"), .text("\"b c\"")]))])),
                    ("timeout", .text("3s")),
                ]))
        let isRule = random.next() % 2 == 0
        let spec: Tree =
            isRule
            ? .map([("host", .text("a")), ("trafficPolicy", policy)]) : .map([("hosts", .list([.text("a")])), ("http", .list([route]))])
        return .map([
            ("apiVersion", .text("networking.istio.io/v1")), ("kind", .text(isRule ? "DestinationRule" : "VirtualService")),
            ("metadata", .map([("name", .text("x"))])),
            ("spec", spec),
        ])
    }

    @Test(arguments: [UInt64(3), 20_261_126, 8])
    func everyStyleIsRewritten(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        var rewritten = 0
        for round in 0..<150 {
            var text = Self.document(&random).yaml(&random, column: 0, isFlow: false)
            if random.next() % 3 == 0 { text = text.replacing("\n", with: "\r\n") }
            let fix = DeprecationFixTests.fix(text)
            let after = DeprecationFixTests.text(fix)
            #expect(fix.left.isEmpty, "seed \(seed) round \(round): \(fix.left.map(\.line))\n\(text)")
            #expect(
                DeprecationFixTests.deprecations(after).isEmpty && !TestFiles.load(after).1.hasErrors,
                "seed \(seed) round \(round): \(TestFiles.load(after).1.lines)\n\(text)\n\(after)")
            #expect(
                fix.hasChanges == !DeprecationFixTests.deprecations(text).isEmpty && !DeprecationFixTests.fix(after).hasChanges,
                "seed \(seed) round \(round)")
            func comments(_ text: String) -> [String] {
                // Without carriage returns: to Swift, CR LF is one character.
                String(decoding: text.utf8.filter { $0 != 13 }, as: UTF8.self).split(separator: "\n").compactMap { line in
                    line.firstIndex(of: "#").map { String(line[$0...]) }
                }
            }
            let lines = (text.utf8.count { $0 == 10 }, after.utf8.count { $0 == 10 })
            #expect(lines.0 == lines.1 && comments(text) == comments(after), "seed \(seed) round \(round)\n\(text)\n\(after)")
            rewritten += fix.rewritten.count
        }
        #expect(rewritten > 150)
    }
}
