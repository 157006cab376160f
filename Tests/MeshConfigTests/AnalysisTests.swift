import MeshConfig
import Testing

/// Each code: one configuration that has it, and one as like it as can be that has not.
@Suite struct AnalysisTests {
    static func analyze(_ text: String) -> MeshAnalysis { MeshAnalysis.run(texts: [(name: "t.yaml", text: text)]) }

    static func codes(_ text: String) -> [String] {
        analyze(text).findings.filter { $0.code != "SKN0201" && $0.code != "SKN0350" }.map(\.code)
    }

    static func find(_ code: String, _ text: String) -> [Finding] { analyze(text).findings.filter { $0.code == code } }

    static func join(_ parts: String...) -> String { parts.joined(separator: "---\n") }

    static func service(
        _ host: String, ports: String = "[{number: 80, name: http, protocol: HTTP}]",
        endpoints: String = "[{address: 10.0.0.1, labels: {version: v1}}]", name: String? = nil
    ) -> String {
        TestFiles.resource(
            "ServiceEntry",
            "hosts: [\(host)]\nresolution: STATIC\nlocation: MESH_INTERNAL\nports: \(ports)\nendpoints: \(endpoints)\n"
                + "addresses: [10.9.0.1]",
            name: name ?? String(host.prefix { $0 != "." }))
    }

    static func rule(_ http: String, host: String = "a.local", name: String = "rule", more: String = "") -> String {
        TestFiles.resource("VirtualService", "hosts: [\(host)]\n\(more)http:\n\(http)", name: name)
    }

    static let base = service("a.local") + "---\n" + service("b.local")

    static func subsets(_ spec: String, host: String = "a.local", name: String = "dr") -> String {
        TestFiles.resource("DestinationRule", "host: \(host)\n\(spec)", name: name)
    }

    // MARK: References

    @Test(arguments: [
        // A port that the service does not have, and one that it has.
        ("- route: [{destination: {host: b.local, port: {number: 81}}}]", ["IST0101"]),
        ("- route: [{destination: {host: b.local, port: {number: 80}}}]", []),
        // A mirror's host and subset; a mirror that is off sends nothing anywhere.
        ("- route: [{destination: {host: a.local}}]\n  mirror: {host: c.local}", ["IST0101"]),
        ("- route: [{destination: {host: a.local}}]\n  mirrors: [{destination: {host: b.local, subset: v9}}]", ["IST0101"]),
        ("- route: [{destination: {host: a.local}}]\n  mirror: {host: c.local}\n  mirrorPercentage: {value: 0}", []),
        ("- route: [{destination: {host: a.local}}]\n  mirror: {host: b.local}", []),
        // A delegate that is not there.
        ("- delegate: {name: nobody}", ["IST0101"]),
        ("- delegate: {name: rule}", ["SKN0353"]),
        // A gateway that is not there, and the one that always is.
        ("- route: [{destination: {host: a.local}}]\n  match: [{gateways: [mesh]}]", []),
    ])
    func names(http: String, expected: [String]) { #expect(Self.codes(Self.join(Self.base, Self.rule(http))) == expected) }

    @Test func connectionsNameHostsToo() {
        let tcp = TestFiles.resource(
            "VirtualService",
            "hosts: [t.local]\ntcp: [{route: [{destination: {host: x.local}}]}]\n"
                + "tls: [{match: [{sniHosts: [t.local]}], route: [{destination: {host: t.local, port: {number: 9}}}]}]")
        let service = Self.service("t.local", ports: "[{number: 443, name: tls, protocol: TLS}]")
        #expect(
            Self.find("IST0101", Self.join(service, tcp)).map(\.diagnostic.field) == [
                "spec.tcp[0].route[0].destination.host", "spec.tls[0].route[0].destination.port",
            ])
    }

    @Test func aHintNamesWhatWasMeant() {
        let finding = Self.find(
            "IST0101",
            Self.join(
                Self.service("ratings.local"),
                Self.rule("- route: [{destination: {host: ratings.local}}]\n  mirror: {host: rating.local}", host: "ratings.local"))
        ).first
        #expect(finding?.hint == "Did you mean ratings.local?")
        #expect(finding?.diagnostic.position.line == 23)
        // The same from loading's own message: what to do stands apart.
        let other = Self.find(
            "IST0101",
            Self.join(Self.service("ratings.local"), Self.rule("- route: [{destination: {host: rating.local}}]", host: "ratings.local"))
        ).first
        #expect(other?.hint == "Did you mean ratings.local?" && other?.diagnostic.message.contains("mean") == false)
    }

    /// A single file of a mesh is often looked at alone.
    @Test func withoutServicesItIsSaidOnceAndIsNoWarning() {
        let rules = (0..<5).map { Self.rule("- route: [{destination: {host: h\($0).local}}]", host: "h\($0).local", name: "r\($0)") }
        let analysis = Self.analyze(rules.joined(separator: "---\n"))
        #expect(analysis.findings.map(\.code) == ["SKN0350"])
        #expect(!analysis.fails(at: .warning) && analysis.fails(at: .notice))
    }

    @Test func rulesForHostsThatNobodyHas() {
        #expect(
            Self.codes(Self.join(Self.base, Self.subsets("trafficPolicy: {loadBalancer: {simple: RANDOM}}", host: "c.local"))) == [
                "IST0174"
            ])
        for host in ["a.local", "A.local", "\"*.local\"", "\"*\""] {
            #expect(
                Self.codes(Self.join(Self.base, Self.subsets("trafficPolicy: {loadBalancer: {simple: RANDOM}}", host: host))) == [],
                "\(host)")
        }
    }

    @Test func policiesForHostsThatNobodyHas() {
        func policy(_ spec: String) -> String {
            "apiVersion: skein.io/v1\nkind: UpstreamPolicy\nmetadata: {name: p}\nspec: {\(spec), healthCheck: {tcp: {}}}\n"
        }
        let versions = Self.subsets("subsets: [{name: v1, labels: {version: v1}}]")
        for (spec, expected) in [
            ("host: a.local", []), ("host: a.local, subset: v1", []), ("host: c.local", ["IST0101"]),
            ("host: a.local, subset: v2", ["IST0101"]), ("host: '*.local'", []),
        ] {
            #expect(Self.codes(Self.join(Self.base, versions, policy(spec))) == expected, "\(spec)")
        }
    }

    @Test func meshOutlierDetectionsThatActOnNothing() {
        func resource(_ spec: String, name: String = "m") -> String {
            "apiVersion: skein.io/v1\nkind: MeshOutlierDetection\nmetadata: {name: \(name)}\nspec: {\(spec)}\n"
        }
        let versions = Self.subsets("subsets: [{name: v1, labels: {version: v1}}]")
        let all = "errorRate: {}, maxEjectionPercent: 100"
        for (spec, expected) in [
            ("host: a.local, \(all)", []), ("host: a.local, subset: v1, \(all)", []), ("host: '*.local', \(all)", []),
            ("host: c.local, \(all)", ["IST0101"]), ("host: a.local, subset: v2, \(all)", ["IST0101"]),
            ("host: a.local", ["SKN0366", "SKN0375"]), ("host: a.local, errorRate: {}", ["SKN0366"]),
            ("host: a.local, errorRate: {}, mode: REPORT_ONLY", []), ("host: a.local, mode: OFF", []),
        ] {
            #expect(Self.codes(Self.join(Self.base, versions, resource(spec))).sorted() == expected, "\(spec)")
        }
        let detection = Self.subsets("trafficPolicy: {outlierDetection: {maxEjectionPercent: 100}}")
        #expect(Self.codes(Self.join(Self.base, detection, resource("host: a.local"))) == [], "a DestinationRule's detectors")
        let two = Self.join(Self.base, versions, resource("host: a.local, \(all)"), resource("host: a.local, mode: OFF", name: "m2"))
        #expect(Self.codes(two) == ["SKN0374"])
        let apart = resource("host: a.local, subset: v1, \(all)", name: "m2")
        #expect(Self.codes(Self.join(Self.base, versions, resource("host: a.local, \(all)"), apart)) == [])
    }

    @Test func aDestinationMustChooseAmongPortsThatAreNotTheRequests() {
        let two = "[{number: 81, name: http, protocol: HTTP}, {number: 82, name: http-b, protocol: HTTP}]"
        let http = "- route: [{destination: {host: b.local}}]"
        #expect(Self.codes(Self.join(Self.service("a.local"), Self.service("b.local", ports: two), Self.rule(http))) == ["IST0112"])
        // The request's own port is there; or there is only one.
        let own = "[{number: 80, name: http, protocol: HTTP}, {number: 82, name: http-b, protocol: HTTP}]"
        #expect(Self.codes(Self.join(Self.service("a.local"), Self.service("b.local", ports: own), Self.rule(http))) == [])
        #expect(
            Self.codes(
                Self.join(
                    Self.service("a.local"), Self.service("b.local", ports: "[{number: 81, name: http, protocol: HTTP}]"), Self.rule(http)))
                == [])
        #expect(
            Self.codes(
                Self.join(
                    Self.service("a.local"), Self.service("b.local", ports: two),
                    Self.rule("- route: [{destination: {host: b.local, port: {number: 81}}}]"))) == [])
    }

    @Test func delegates() {
        let parent = Self.rule("- match: [{uri: {prefix: /x}}]\n  delegate: {name: child}\n- route: [{destination: {host: a.local}}]")
        func child(_ spec: String) -> String { TestFiles.resource("VirtualService", spec, name: "child") }
        func codes(_ spec: String) -> [String] { Self.codes(Self.join(Self.base, parent, child(spec))) }
        #expect(codes("http: [{route: [{destination: {host: b.local}}]}]") == [])
        #expect(codes("hosts: [b.local]\nhttp: [{route: [{destination: {host: b.local}}]}]") == ["SKN0353"])
        #expect(codes("http: [{delegate: {name: other}}]") == ["SKN0353", "IST0101"])
        #expect(
            Self.find("SKN0353", Self.join(Self.base, parent, child("http: [{delegate: {name: rule}}]"))).first?.diagnostic.message
                .contains("delegates back") == true)
        // What no rule of a delegate takes goes on: the rules after it are reached.
        let open = Self.rule("- delegate: {name: child}\n- route: [{destination: {host: a.local}}]")
        #expect(
            Self.find(
                "IST0130",
                Self.join(Self.base, open, child("http: [{match: [{uri: {prefix: /x}}], route: [{destination: {host: b.local}}]}]"))
            ).isEmpty)
    }

    // MARK: Gateways

    @Test func gateways() {
        let workloads = ["ingress", "egress"].map {
            TestFiles.resource("WorkloadEntry", "address: 10.0.0.9\nlabels: {istio: \($0)}", name: $0)
        }
        let edge = ([Self.base] + workloads).joined(separator: "---\n")
        func gateway(_ hosts: String, name: String = "gw", selector: String = "{istio: ingress}", port: Int = 80) -> String {
            TestFiles.resource(
                "Gateway", "selector: \(selector)\nservers: [{port: {number: \(port), name: http, protocol: HTTP}, hosts: \(hosts)}]",
                name: name)
        }
        func rule(_ gateways: String, name: String = "rule", host: String = "a.local") -> String {
            Self.rule("- route: [{destination: {host: a.local}}]", host: host, name: name, more: "gateways: \(gateways)\n")
        }
        #expect(Self.codes(Self.join(edge, gateway("[a.local]"), rule("[gw]"))) == [])
        #expect(Self.codes(Self.join(edge, gateway("['./*.local']"), rule("[default/gw]"))) == [])
        #expect(Self.codes(Self.join(edge, gateway("['*']"), rule("[gw, mesh]"))) == [])
        #expect(Self.codes(Self.join(edge, gateway("[a.local]"), rule("[gate]"))) == ["IST0101"])
        #expect(Self.codes(Self.join(edge, gateway("[a.local]"), rule("[other/gw]"))) == ["IST0101"])
        #expect(Self.codes(Self.join(edge, gateway("[b.local]"), rule("[gw]"))) == ["IST0132"])
        #expect(Self.codes(Self.join(edge, gateway("[prod/a.local]"), rule("[gw]"))) == ["IST0132"])
        #expect(Self.codes(Self.join(edge, gateway("['*.local']"), rule("[gw]", host: "'*.local'"))) == [])
        #expect(Self.codes(Self.join(edge, gateway("[a.local]"), rule("[gw]"), rule("[gw]", name: "two"))) == ["SKN0351"])
        #expect(Self.codes(Self.join(edge, gateway("['*']"), rule("[gw]"), rule("[gw]", name: "two", host: "b.local"))) == [])
        #expect(Self.codes(Self.join(edge, gateway("[a.local]"), gateway("[a.local]", name: "two"))) == ["IST0145"])
        // A selector within the other's takes some of the same workloads.
        let within = gateway("[a.local]", name: "two", selector: "{istio: ingress, zone: a}")
        #expect(
            Self.codes(
                Self.join(
                    edge, TestFiles.resource("WorkloadEntry", "address: 10.0.0.8\nlabels: {istio: ingress, zone: a}", name: "w"),
                    gateway("[a.local]"), within)) == ["IST0145"])
        for other in [
            gateway("[b.local]", name: "two"), gateway("[a.local]", name: "two", selector: "{istio: egress}"),
            gateway("[a.local]", name: "two", port: 81), gateway("[prod/a.local]", name: "two"),
        ] {
            #expect(Self.codes(Self.join(edge, gateway("[./a.local]"), other)) == [])
        }
    }

    // MARK: What is shown to whom, and told apart by what

    /// A rule and the services it sends to must be seen by the same proxies.
    @Test func servicesThatAreNotShownToTheRule() {
        func codes(_ exportTo: String, namespace: String = "default", rule: String = "") -> [String] {
            let service = TestFiles.resource(
                "ServiceEntry", "hosts: [s.local]\nexportTo: \(exportTo)\nports: [{number: 80, name: http, protocol: HTTP}]", name: "s",
                namespace: "shop")
            return Self.codes(
                Self.join(
                    service,
                    TestFiles.resource(
                        "VirtualService", "hosts: [x.local]\n\(rule)\nhttp: [{route: [{destination: {host: s.local}}]}]",
                        namespace: namespace)))
        }
        #expect(codes("['*']") == [] && codes("[default]") == [] && codes("['.']", namespace: "shop") == [])
        #expect(codes("['.']") == ["IST0101"] && codes("[banana]") == ["IST0101"] && codes("['~']") == ["IST0101"])
        #expect(codes("[shop]", rule: "exportTo: [shop]") == [] && codes("[default]", rule: "exportTo: [shop]") == ["IST0101"])
        // A wildcard that is shown will do.
        let own = TestFiles.resource(
            "ServiceEntry", "hosts: [s.local]\nexportTo: [banana]\nports: [{number: 80, name: http, protocol: HTTP}]", name: "s",
            namespace: "shop")
        let all = TestFiles.resource(
            "ServiceEntry", "hosts: ['*.local']\nports: [{number: 80, name: http, protocol: HTTP}]", name: "all", namespace: "shop")
        #expect(
            Self.codes(
                Self.join(
                    own, all, TestFiles.resource("VirtualService", "hosts: [x.local]\nhttp: [{route: [{destination: {host: s.local}}]}]")))
                == [])
    }

    /// A captured connection has an address and a port; a service without addresses would take those of others.
    @Test func tcpPortsAreToldApartByAddress() {
        func codes(_ more: String, _ others: String...) -> [String] {
            let service = TestFiles.resource(
                "ServiceEntry",
                "hosts: [db.local]\nresolution: STATIC\nendpoints: [{address: 10.0.0.1}]\n"
                    + "ports: [{number: 5432, name: tcp, protocol: tcp}]\n\(more)",
                name: "db")
            return Self.codes(([service] + others).joined(separator: "---\n"))
        }
        #expect(codes("") == ["IST0134"])
        #expect(codes("addresses: [10.9.9.9]") == [])
        #expect(
            codes("", TestFiles.resource("Sidecar", "egress: [{port: {number: 5432, name: tcp, protocol: TCP}, hosts: ['*/*']}]")) == [])
        #expect(
            codes("", TestFiles.resource("Sidecar", "egress: [{port: {number: 5433, name: tcp, protocol: TCP}, hosts: ['*/*']}]")) == [
                "IST0134"
            ])
        #expect(
            codes("", TestFiles.resource("VirtualService", "hosts: [db.local]\ntcp: [{route: [{destination: {host: db.local}}]}]")) == [])
    }

    // MARK: Rules

    /// Two matches, one after the other: whether the second is never reached.
    @Test(arguments: [
        ("{uri: {prefix: /a}}", "{uri: {exact: /a/b}}", true), ("{uri: {prefix: /a}}", "{uri: {prefix: /ab}}", true),
        ("{uri: {prefix: /ab}}", "{uri: {prefix: /a}}", false), ("{uri: {exact: /a}}", "{uri: {prefix: /a}}", false),
        ("{uri: {exact: /a}}", "{uri: {exact: /a}}", true), ("{uri: {exact: /a}}", "{uri: {exact: /A}}", false),
        ("{uri: {regex: '/a.*'}}", "{uri: {regex: '/a.*'}}", true), ("{uri: {regex: '/.*'}}", "{uri: {prefix: /a}}", false),
        ("{uri: {prefix: /A}, ignoreUriCase: true}", "{uri: {exact: /aB}}", true),
        ("{uri: {prefix: /a}}", "{uri: {exact: /ab}, ignoreUriCase: true}", false),
        ("{uri: {prefix: /1}}", "{uri: {exact: /1a}, ignoreUriCase: true}", true),
        // Every path but the one of `OPTIONS *` begins so.
        ("{uri: {prefix: /}}", "{method: {exact: GET}}", false), ("{name: all}", "{method: {exact: GET}}", true),
        ("{method: {exact: GET}}", "{method: {exact: GET}, uri: {prefix: /a}}", true),
        ("{method: {exact: GET}, uri: {prefix: /a}}", "{method: {exact: GET}}", false),
        ("{headers: {x: {exact: a}}}", "{headers: {x: {exact: a}, y: {exact: b}}}", true),
        ("{headers: {x: {exact: a}, y: {}}}", "{headers: {x: {exact: a}}}", false),
        ("{headers: {x: {}}}", "{headers: {X: {prefix: a}}}", true), ("{headers: {x: {exact: a}}}", "{headers: {x: {}}}", false),
        ("{withoutHeaders: {x: {exact: a}}}", "{withoutHeaders: {x: {}}}", true),
        ("{withoutHeaders: {x: {}}}", "{withoutHeaders: {x: {exact: a}}}", false),
        ("{withoutHeaders: {x: {exact: a}}}", "{headers: {x: {exact: b}}}", true),
        ("{withoutHeaders: {x: {exact: a}}}", "{headers: {x: {prefix: a}}}", false),
        ("{withoutHeaders: {x: {exact: a}}}", "{uri: {prefix: /a}}", false),
        ("{queryParams: {x: {}}}", "{queryParams: {x: {exact: a}}}", true),
        ("{queryParams: {x: {}}}", "{queryParams: {X: {exact: a}}}", false), ("{port: 80}", "{port: 80, uri: {prefix: /a}}", true),
        ("{port: 80}", "{uri: {prefix: /a}}", false), ("{sourceLabels: {app: a}}", "{sourceLabels: {app: a, v: b}}", true),
        ("{sourceLabels: {app: a}}", "{uri: {prefix: /a}}", false), ("{sourceNamespace: x}", "{sourceNamespace: x, port: 80}", true),
        ("{sourceNamespace: x}", "{sourceNamespace: z}", false), ("{gateways: [gw]}", "{uri: {prefix: /a}}", false),
        ("{gateways: [mesh]}", "{uri: {prefix: /a}}", true), ("{scheme: {exact: http}}", "{scheme: {exact: https}}", false),
        ("{authority: {prefix: a}}", "{authority: {exact: a.local}}", true),
        // One character in two spellings is two texts.
        ("{headers: {x: {exact: \"\\u00e9\"}}}", "{headers: {x: {exact: \"e\\u0301\"}}}", false),
    ])
    func unreachable(first: String, second: String, expected: Bool) {
        let route = "route: [{destination: {host: a.local}}]"
        let found = Self.find(
            "IST0130", Self.join(Self.base, Self.rule("- match: [\(first)]\n  \(route)\n- match: [\(second)]\n  \(route)\n- \(route)")))
        // After one that takes everything, the last rule is not reached either.
        #expect(found.map(\.diagnostic.field).filter { $0 != "spec.http[2]" } == (expected ? ["spec.http[1]"] : []))
    }

    @Test func matchesThatNeverDecide() {
        let route = "route: [{destination: {host: a.local}}]"
        let text = Self.rule(
            "- match: [{uri: {prefix: /a}}]\n  \(route)\n- match: [{uri: {exact: /ab}}, {uri: {exact: /c}}, {uri: {exact: /c}, port: "
                + "80}]\n  \(route)")
        let found = Self.find("IST0131", Self.join(Self.base, text))
        #expect(found.map(\.diagnostic.field) == ["spec.http[1].match[0]", "spec.http[1].match[2]"])
        #expect(found.allSatisfy { $0.severity == .notice } && Self.find("IST0130", Self.join(Self.base, text)).isEmpty)
        // Two rules that only together cover a third are beyond it; two matches of one rule that each are covered are not.
        let both = Self.rule(
            "- match: [{uri: {prefix: /a}}]\n  \(route)\n- match: [{uri: {prefix: /b}}]\n  \(route)\n"
                + "- match: [{uri: {exact: /a1}}, {uri: {exact: /b1}}]\n  \(route)")
        #expect(
            Self.find("IST0130", Self.join(Self.base, both)).map(\.diagnostic.message) == [
                "never used: http[0], http[1] before it takes every request that it matches"
            ])
        // Loading says so of everything after a rule without match, and nobody twice.
        let all = Self.rule("- \(route)\n- match: [{uri: {prefix: /b}}]\n  \(route)\n- \(route)")
        #expect(Self.find("IST0130", Self.join(Self.base, all)).count == 2)
    }

    @Test func connectionsOfEarlierRules() {
        func codes(_ rules: String) -> [String] {
            Self.codes(
                Self.join(
                    Self.service("t.local", ports: "[{number: 443, name: tls, protocol: TLS}]"),
                    TestFiles.resource("VirtualService", "hosts: ['*.local']\n\(rules)")))
        }
        let route = "route: [{destination: {host: t.local}}]"
        #expect(codes("tcp:\n- \(route)\n- match: [{port: 443}]\n  \(route)") == ["IST0130"])
        #expect(codes("tcp:\n- match: [{port: 443}]\n  \(route)\n- \(route)") == [])
        #expect(codes("tls:\n- match: [{sniHosts: ['*.local']}]\n  \(route)\n- match: [{sniHosts: [t.local]}]\n  \(route)") == ["IST0130"])
        #expect(codes("tls:\n- match: [{sniHosts: [t.local]}]\n  \(route)\n- match: [{sniHosts: ['*.local']}]\n  \(route)") == [])
        #expect(codes("tcp:\n- match: [{port: 443}]\n  \(route)\n- match: [{port: 443}, {port: 80}]\n  \(route)") == ["IST0131"])
        // Other addresses are other connections.
        #expect(codes("tcp:\n- \(route)\n- match: [{destinationSubnets: [10.0.0.0/8]}]\n  \(route)") == [])
        #expect(codes("tls:\n- match: [{sniHosts: [t.local]}]\n  \(route)\ntcp:\n- \(route)") == [])
    }

    // MARK: Times

    @Test(arguments: [
        ("timeout: 2s\n  retries: {attempts: 1, perTryTimeout: 2s}", ["SKN0355"]),
        ("timeout: 2s\n  retries: {attempts: 1, perTryTimeout: 1s}", []),
        ("timeout: 10s\n  retries: {attempts: 3, perTryTimeout: 3s}", ["SKN0356"]),
        ("timeout: 10s\n  retries: {attempts: 3, perTryTimeout: 2s}", []),
        // Without a timeout, or with 0, there is always room.
        ("retries: {attempts: 9, perTryTimeout: 60s}", []), ("timeout: 0s\n  retries: {attempts: 9, perTryTimeout: 60s}", []),
        ("retries: {backoff: 1s}", ["SKN0357"]), ("retries: {perTryTimeout: 1s}", ["IST0106"]), ("retries: {retryOn: 5xx}", ["IST0106"]),
        ("timeout: 200000h\n  retries: {attempts: 2147483647, perTryTimeout: 100000h}", ["SKN0356"]),
        ("timeout: 2s\n  fault: {delay: {fixedDelay: 5s, percentage: {value: 10}}}", ["SKN0358"]),
        ("timeout: 6s\n  fault: {delay: {fixedDelay: 5s, percentage: {value: 10}}}", []),
        ("fault: {delay: {fixedDelay: 5s, percentage: {value: 10}}}", []),
        ("fault: {delay: {fixedDelay: 5s}}", ["SKN0368"]), ("fault: {abort: {httpStatus: 500, percentage: {value: 0}}}", ["SKN0368"]),
        ("fault: {abort: {httpStatus: 500, percentage: {value: 100}}}\n  retries: {attempts: 2}", ["SKN0359"]),
        ("fault: {abort: {httpStatus: 500, percentage: {value: 99}}}\n  retries: {attempts: 2}", []),
        ("fault: {abort: {httpStatus: 500, percentage: {value: 100}}}\n  retries: {attempts: 0}", []),
    ])
    func times(fields: String, expected: [String]) {
        #expect(Self.codes(Self.join(Self.base, Self.rule("- route: [{destination: {host: a.local}}]\n  \(fields)"))) == expected)
    }

    @Test func retriesThatDoNotFitSayWhatWould() {
        let finding = Self.find(
            "SKN0356",
            Self.join(
                Self.base,
                Self.rule("- route: [{destination: {host: a.local}}]\n  timeout: 10s\n  retries: {attempts: 3, perTryTimeout: 3s}"))
        ).first
        #expect(
            finding?.diagnostic.message == "4 tries of up to 3s take 12s and the pauses between them; the timeout of 10s has room for 3")
        #expect(finding?.hint == "Raise timeout above 12s, or lower attempts to 2, or shorten perTryTimeout.")
        #expect(
            finding?.text.hasPrefix("t.yaml:37:14: warning [SKN0356] VirtualService default/rule spec.http[0].retries: ") == true,
            "\(finding?.text ?? "")")
    }

    // MARK: Mirrors

    @Test func mirrors() {
        let versions = Self.subsets("subsets: [{name: v1, labels: {version: v1}}, {name: v2}]")
        func codes(_ route: String, _ mirror: String) -> [String] {
            Self.codes(Self.join(Self.base, versions, Self.rule("- route: \(route)\n  mirror: \(mirror)")))
        }
        #expect(codes("[{destination: {host: a.local}}]", "{host: a.local}") == ["SKN0360"])
        #expect(codes("[{destination: {host: a.local, subset: v1}}]", "{host: a.local, subset: v1}") == ["SKN0360"])
        #expect(codes("[{destination: {host: a.local, subset: v1}}]", "{host: a.local}") == ["SKN0360"])
        // The usual way to try a new version.
        #expect(codes("[{destination: {host: a.local, subset: v1}}]", "{host: a.local, subset: v2}") == [])
        #expect(codes("[{destination: {host: a.local, subset: v1}}]", "{host: b.local}") == [])
    }

    @Test func mirrorsThatGoRound() {
        func mirror(_ from: String, _ to: String, percent: Int = 10) -> String {
            Self.rule(
                "- route: [{destination: {host: \(from).local}}]\n  mirror: {host: \(to).local}\n  mirrorPercentage: {value: \(percent)}",
                host: "\(from).local", name: from)
        }
        let services = ["a", "b", "c"].map { Self.service("\($0).local") }.joined(separator: "---\n")
        #expect(
            Self.find("SKN0361", Self.join(services, mirror("a", "b"), mirror("b", "a"))).map(\.diagnostic.message) == [
                "mirrors go round: a.local -> b.local -> a.local; each of these services gets copies of the others' requests"
            ])
        #expect(Self.codes(Self.join(services, mirror("a", "b"), mirror("b", "c"), mirror("c", "a"))) == ["SKN0361"])
        #expect(Self.codes(Self.join(services, mirror("a", "b"), mirror("b", "c"))) == [])
        #expect(Self.codes(Self.join(services, mirror("a", "b"), mirror("b", "a", percent: 0))) == [])
        #expect(Self.codes(Self.join(services, mirror("a", "c"), mirror("b", "c"))) == [])
    }

    // MARK: Weights

    @Test(arguments: [
        ("[{destination: {host: a.local}, weight: 90}, {destination: {host: b.local}, weight: 10}]", []),
        ("[{destination: {host: a.local}, weight: 9}, {destination: {host: b.local}, weight: 1}]", ["SKN0362"]),
        ("[{destination: {host: a.local}, weight: 100}, {destination: {host: b.local}, weight: 0}]", ["SKN0364"]),
        ("[{destination: {host: a.local}, weight: 100}, {destination: {host: b.local}}]", ["SKN0363"]),
        ("[{destination: {host: a.local}, weight: 50}]", []), ("[{destination: {host: a.local}}]", []),
        ("[{destination: {host: a.local}, weight: 0}, {destination: {host: b.local}, weight: 0}]", ["IST0106"]),
        // A sum that wraps around to 2 was the end of the process.
        (
            "[{destination: {host: a.local}, weight: 9223372036854775807}, {destination: {host: b.local}, weight: 9223372036854775807}, "
                + "{destination: {host: b.local}, weight: 4}]",
            ["SKN0104", "SKN0104", "SKN0104"]),
    ])
    func weights(route: String, expected: [String]) {
        #expect(Self.codes(Self.join(Self.base, Self.rule("- route: \(route)"))) == expected)
    }

    // MARK: Services and their rules

    @Test func subsetsAndEndpoints() {
        let two = Self.service(
            "a.local", endpoints: "[{address: 10.0.0.1, labels: {version: v1}}, {address: 10.0.0.2, labels: {version: v2, track: canary}}]")
        func codes(_ spec: String, _ service: String = two) -> [String] { Self.codes(Self.join(service, Self.subsets(spec))) }
        #expect(codes("subsets: [{name: v3, labels: {version: v3}}]") == ["IST0173"])
        #expect(codes("subsets: [{name: v3, labels: {version: v1, track: canary}}]") == ["IST0173"])
        #expect(codes("subsets: [{name: v2, labels: {version: v2, track: canary}}, {name: all}]") == [])
        #expect(
            Self.find("IST0173", Self.join(two, Self.subsets("subsets: [{name: v3, labels: {version: v3}}]"))).first?.hint
                == "For version the endpoints have v1, v2; correct the subset's labels or theirs.")
        // Where endpoints come from names, nothing is known of their labels.
        let dns = TestFiles.resource("ServiceEntry", "hosts: [a.local]\nresolution: DNS\nports: [{number: 80, name: http, protocol: HTTP}]")
        #expect(codes("subsets: [{name: v3, labels: {version: v3}}]", dns) == [])
        let outlier = "trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3"
        #expect(codes("\(outlier)}}") == ["SKN0366"] && codes("\(outlier), maxEjectionPercent: 49}}") == ["SKN0366"])
        #expect(codes("\(outlier), maxEjectionPercent: 50}}") == [] && codes("\(outlier)}}", dns) == [])
        #expect(codes("subsets: [{name: v2, labels: {version: v2}, \(outlier), maxEjectionPercent: 50}}}]") == ["SKN0366"])
        #expect(
            Self.find("SKN0366", Self.join(two, Self.subsets("\(outlier)}}"))).first?.hint
                == "Write maxEjectionPercent: 50 or more, or add endpoints.")
        let twice =
            Self.subsets("subsets: [{name: v1, labels: {version: v1}}]") + "---\n"
            + Self.subsets("subsets: [{name: v1, labels: {version: v2}}]", name: "other")
        #expect(Self.codes(Self.join(two, twice)) == ["SKN0011", "SKN0352"])
    }

    /// A subset that a rule for a wildcard defines is defined.
    @Test func subsetsOfWildcardRulesAreKnown() {
        let rule = Self.subsets("subsets: [{name: v1, labels: {version: v1}}]", host: "'*.local'")
        #expect(Self.codes(Self.join(Self.base, rule, Self.rule("- route: [{destination: {host: a.local, subset: v1}}]"))) == [])
        #expect(Self.codes(Self.join(Self.base, rule, Self.rule("- route: [{destination: {host: a.local, subset: v2}}]"))) == ["IST0101"])
    }

    @Test func hashesOfWhatConnectionsDoNotHave() {
        let tcp = Self.service("a.local", ports: "[{number: 6379, name: redis, protocol: TCP}]")
        let header = Self.subsets("trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x}}}")
        #expect(Self.codes(Self.join(tcp, header)) == ["SKN0367"])
        #expect(Self.codes(Self.join(Self.base, header)) == [])
        #expect(Self.codes(Self.join(tcp, Self.subsets("trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}"))) == [])
    }

    @Test(arguments: [
        ("[{number: 80, name: web}]", ["IST0118"]), ("[{number: 80, name: web, protocol: HTTP}]", []),
        ("[{number: 53, name: dns, protocol: UDP}]", ["IST0133"]),
        ("[{number: 80, name: http-web, protocol: TCP}]", ["SKN0365"]), ("[{number: 80, name: tcp, protocol: HTTP}]", ["SKN0365"]),
        ("[{number: 443, name: https, protocol: HTTP}]", ["SKN0365"]), ("[{number: 80, name: http2, protocol: GRPC}]", []),
        ("[{number: 443, name: https, protocol: TLS}]", []), ("[{number: 443, name: tls-x, protocol: TCP}]", []),
        ("[{number: 80, name: httpd, protocol: TCP}]", []),
    ])
    func ports(ports: String, expected: [String]) { #expect(Self.codes(Self.service("a.local", ports: ports)) == expected) }

    @Test func portsOfSidecars() {
        #expect(
            Self.codes(TestFiles.resource("Sidecar", "ingress: [{port: {number: 80, name: x}, defaultEndpoint: 127.0.0.1:8080}]")) == [
                "IST0118"
            ])
        #expect(
            Self.codes(
                TestFiles.resource("Sidecar", "ingress: [{port: {number: 80, name: x, protocol: HTTP}, defaultEndpoint: 127.0.0.1:8080}]"))
                == [])
    }

    /// A port named after the TLS that the proxy adds.
    @Test func originatedTLSIsNoContradiction() {
        let tls = Self.subsets("trafficPolicy: {tls: {mode: SIMPLE}}")
        #expect(Self.codes(Self.join(Self.service("a.local", ports: "[{number: 443, name: https, protocol: HTTP}]"), tls)) == [])
    }

    @Test func selectorsThatSelectNobody() {
        func selecting(_ label: String) -> String {
            TestFiles.resource(
                "ServiceEntry",
                "hosts: [a.local]\nresolution: STATIC\nports: [{number: 80, name: http, protocol: HTTP}]\n"
                    + "workloadSelector: {labels: {app: \(label)}}")
        }
        let workload = TestFiles.resource("WorkloadEntry", "address: 10.0.0.1\nlabels: {app: a}", name: "w")
        #expect(Self.codes(Self.join(selecting("a"), workload)) == [])
        #expect(Self.codes(Self.join(selecting("b"), workload)) == ["IST0127"])
        // Without any they are in another file.
        #expect(Self.analyze(selecting("a")).findings.map(\.code) == ["SKN0350"])
    }

    /// A policy for a gateway that no workload is.
    @Test func targetsThatAreNoWorkload() {
        let workload = TestFiles.resource(
            "WorkloadEntry", "address: 10.0.0.1\nlabels: {gateway.networking.k8s.io/gateway-name: public}", name: "w")
        func policy(_ gateway: String) -> String {
            TestFiles.resource(
                "AuthorizationPolicy",
                "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: \(gateway)}]\n"
                    + "rules: [{to: [{operation: {methods: [GET]}}]}]")
        }
        #expect(Self.codes(Self.join(workload, policy("public"))) == [])
        #expect(Self.codes(Self.join(workload, policy("gone"))) == ["IST0127"])
    }

    @Test func telemetries() {
        let workload = TestFiles.resource("WorkloadEntry", "address: 10.0.0.1\nlabels: {app: a, version: v1}", name: "w")
        func telemetry(_ name: String, _ selector: String = "", namespace: String = "default") -> String {
            TestFiles.resource("Telemetry", "accessLogging: [{providers: [{name: envoy}]}]\n\(selector)", name: name, namespace: namespace)
        }
        #expect(Self.codes(Self.join(telemetry("one"), telemetry("two"))) == ["IST0160"])
        #expect(Self.codes(Self.join(telemetry("one"), telemetry("two", namespace: "other"))) == [])
        #expect(
            Self.codes(
                Self.join(
                    workload, telemetry("one", "selector: {matchLabels: {app: a}}"),
                    telemetry("two", "selector: {matchLabels: {version: v1}}"))) == ["IST0159"])
        #expect(
            Self.codes(
                Self.join(
                    workload, telemetry("one", "selector: {matchLabels: {app: a}}"), telemetry("two", "selector: {matchLabels: {app: b}}")))
                == [])
    }

    /// Two rules for one host conflict where somebody sees both.
    @Test func conflictsNeedSomebodyWhoSeesBoth() {
        func rule(_ namespace: String, _ exportTo: String) -> String {
            TestFiles.resource(
                "VirtualService", "hosts: [a.local]\nexportTo: \(exportTo)\nhttp: [{route: [{destination: {host: a.local}}]}]", name: "r",
                namespace: namespace)
        }
        func conflicts(_ one: String, _ two: String) -> Bool { !Self.find("IST0109", Self.join(Self.base, one, two)).isEmpty }
        #expect(
            conflicts(rule("one", "[]"), rule("two", "[]")) && conflicts(rule("one", "['*']"), rule("two", "['.']"))
                && conflicts(rule("one", "['.']"), rule("two", "['*']")))
        #expect(conflicts(rule("one", "['.', three]"), rule("two", "[three]")) && conflicts(rule("one", "['.']"), rule("two", "[one]")))
        #expect(!conflicts(rule("one", "['.']"), rule("two", "['.']")) && !conflicts(rule("one", "[three]"), rule("two", "['.']")))
        func policy(_ namespace: String, _ more: String = "", name: String = "d") -> String {
            TestFiles.resource(
                "DestinationRule", "host: a.local\nsubsets: [{name: v1, labels: {version: v1}}]\n\(more)", name: name, namespace: namespace)
        }
        #expect(Self.codes(Self.join(Self.base, policy("one"), policy("two"))) == [])
        #expect(Self.codes(Self.join(Self.base, policy("one"), policy("one", name: "e"))) == ["SKN0011"])
        #expect(
            Self.codes(Self.join(Self.base, policy("one", "workloadSelector: {matchLabels: {app: a}}"), policy("one", name: "e"))) == [])
        #expect(
            Self.codes(Self.join(Self.base, policy("one"), policy("one", "workloadSelector: {matchLabels: {app: a}}", name: "e"))) == [],
            "each is used by workloads of its own")
        // Whose traffic policy acts is said.
        func said(_ first: String, _ second: String) -> String {
            Self.find("SKN0011", Self.join(Self.base, policy("one", first), policy("one", second, name: "e"))).first?.diagnostic.message
                ?? ""
        }
        let own = "trafficPolicy: {loadBalancer: {simple: RANDOM}}"
        #expect(said("", own).contains("the traffic policy of this one, since DestinationRule one/d has none"))
        #expect(said(own, "").contains("the traffic policy of DestinationRule one/d"))
        #expect(said(own, own).contains("the one here is left out"))
    }

    // MARK: The whole

    @Test func nothingIsSaidTwice() {
        let findings = MeshAnalysis.run(from: [SeedTests.seed, ModelTests.folder]).findings
        let keys = findings.map { "\($0.code) \($0.diagnostic.position) \($0.diagnostic.field)" }
        #expect(Set(keys).count == keys.count && keys.count > 30)
        #expect(findings.allSatisfy { !$0.hint.isEmpty && !$0.hint.contains("\n") }, "\(findings.filter(\.hint.isEmpty).map(\.text))")
    }

    /// Beyond what loading said already: that there are no services, and one mirror's subset.
    @Test func theSeedsHaveNoFalseFindings() {
        for name in SeedTests.expected.keys.sorted() {
            let found = MeshAnalysis.run(from: ["\(SeedTests.seed)/\(name)"]).findings.filter { $0.code != "SKN0350" }.map {
                "\($0.code) \($0.diagnostic.field)"
            }
            #expect(found.sorted() == (SeedTests.expected[name] ?? []).sorted(), "\(name)")
        }
    }

    @Test func theDemoIsClean() { #expect(MeshAnalysis.run(from: [TestFiles.root + "/Config/quickstart"]).findings.map(\.text) == []) }

    @Test func suppression() throws {
        let text = Self.join(Self.base, Self.rule("- route: [{destination: {host: a.local}}]\n  retries: {backoff: 1s}"))
        func left(_ option: String) throws -> Int {
            var analysis = Self.analyze(text)
            analysis.suppress([try #require(Suppression(option))])
            return analysis.findings.count
        }
        for option in ["SKN0357=VirtualService rule.default", "SKN0357=VirtualService *.default", "*=VirtualService *", "SKN0357=*"] {
            #expect(try left(option) == 0, "\(option)")
        }
        for option in ["SKN0356=VirtualService rule.default", "SKN0357=VirtualService rule.other", "SKN0357=DestinationRule *"] {
            #expect(try left(option) == 1, "\(option)")
        }
        for bad in ["", "SKN0357", "=VirtualService x.y", "SKN0357=", "SKN0357=rule"] { #expect(Suppression(bad) == nil, "\(bad)") }
        let annotated = text.replacing(
            "  name: rule\n", with: "  name: rule\n  annotations: {galley.istio.io/analyze-suppress: \"IST0130, SKN0357\"}\n")
        #expect(Self.analyze(annotated).findings.isEmpty && Self.analyze(annotated).suppressedCount == 1)
    }

    /// A value that cannot be read counts as absent; what would follow from its absence is not so.
    @Test func resourcesWithErrorsAreNotLookedAtFurther() {
        let route = "route: [{destination: {host: a.local}}]"
        let text = Self.rule(
            "- match: [{headers: {x: {exact: 1}}}]\n  \(route)\n- match: [{uri: {prefix: /a}}]\n  \(route)\n  retries: {backoff: 1s}")
        #expect(Self.codes(Self.join(Self.base, text)) == ["SKN0102"])
        #expect(Self.codes(Self.join(Self.base, text.replacing("exact: 1", with: "exact: '1'"))) == ["SKN0357"])
    }

    @Test func jsonIsOneObjectWithTheHint() {
        let finding = Self.find("IST0118", Self.service("a.local", ports: "[{number: 80, name: web}]")).first
        #expect(
            finding?.json
                == #"{"severity":"info","code":"IST0118","file":"t.yaml","line":10,"column":11,"kind":"ServiceEntry","#
                    + #""namespace":"default","name":"a","field":"spec.ports[0].protocol","#
                    + #""message":"port 80 has no protocol: the first bytes of each connection decide what it is, "#
                    + #"whatever the name \"web\" says","hint":"Write protocol: HTTP, HTTP2, GRPC, TCP or TLS; "#
                    + #"a client that waits for the server to speak first waits in vain otherwise."}"#)
    }

    @Test func aFileThatEndsInNonsenseStillTellsWhatItHas() {
        let analysis = Self.analyze(
            Self.join(Self.base, Self.rule("- route: [{destination: {host: a.local}}]\n  retries: {backoff: 1s}")) + "---\n\t{")
        #expect(analysis.isIncomplete && Set(analysis.findings.map(\.code)).isSuperset(of: ["SKN0002", "SKN0357"]))
    }
}

/// Whatever the input, an analysis ends, soon.
@Suite struct AnalysisBoundsTests {
    @Test func aThousandRulesAndTwoHundredServices() {
        let services = (0..<200).map { AnalysisTests.service("s\($0).local", name: "s\($0)") }.joined(separator: "---\n")
        let routes = (0..<1000).map { "- match: [{uri: {prefix: /path\($0)/}}]\n  route: [{destination: {host: s\($0 % 200).local}}]" }
            .joined(separator: "\n")
        let analysis = AnalysisTests.analyze(AnalysisTests.join(services, AnalysisTests.rule(routes, host: "s0.local")))
        #expect(analysis.findings.map(\.text) == [])
    }

    /// Rules that differ in nothing that is looked up: compared one by one, until the bound, and it is said.
    @Test func rulesThatMustAllBeComparedStopAtTheBound() {
        let routes = (0..<1600).map { "- match: [{headers: {x: {exact: v\($0)}}}]\n  route: [{destination: {host: a.local}}]" }.joined(
            separator: "\n")
        let analysis = AnalysisTests.analyze(AnalysisTests.join(AnalysisTests.base, AnalysisTests.rule(routes)))
        #expect(analysis.findings.map(\.code) == ["SKN0354"])
    }

    @Test func manyFindingsAreCounted() {
        let routes = (0..<3000).map { "- match: [{uri: {exact: /\($0)}}]\n  route: [{destination: {host: a.local, port: {number: 9}}}]" }
            .joined(separator: "\n")
        let analysis = AnalysisTests.analyze(AnalysisTests.join(AnalysisTests.base, AnalysisTests.rule(routes)))
        #expect(analysis.findings.count == 2000 && analysis.omitted == 1000 && analysis.fails(at: .warning))
    }

    /// Nothing read from a file may end the process. On failure the seed reproduces the input.
    @Test(arguments: [UInt64(11), 20_261_126, 99])
    func mutatedConfigurationsNeverCrash(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        let folders = [SeedTests.seed, ModelTests.folder, TestFiles.root + "/Config/quickstart"]
        let sources = folders.flatMap { folder in TestFiles.names(in: folder).compactMap { TestFiles.read("\(folder)/\($0)") } }.map {
            Array($0.utf8)
        }
        let tokens = [
            "*a", "&a ", "[", "{", "<<: ", "null", "\"", "- ", ": ", "\n", "9223372036854775807", "-1", "2147483647h", "1e309", "é",
            "---\n", "4294967295", "0", "host: a", "*.",
        ]
        for round in 0..<120 {
            var bytes = sources[Int(random.next() % UInt64(sources.count))]
            for _ in 0..<(1 + random.next() % 6) {
                let place = Int(random.next() % UInt64(bytes.count + 1))
                switch random.next() % 3 {
                case 0: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
                case 1: bytes.insert(contentsOf: Array(tokens[Int(random.next() % UInt64(tokens.count))].utf8), at: place)
                default:
                    if place < bytes.count {
                        bytes[place...].prefix(Int(random.next() % 20)).indices.reversed().forEach { bytes.remove(at: $0) }
                    }
                }
            }
            let analysis = MeshAnalysis.run(texts: [(name: "m", text: String(decoding: bytes, as: UTF8.self))])
            #expect(analysis.findings.allSatisfy { !$0.text.contains("\n") && !$0.json.isEmpty }, "seed \(seed) round \(round)")
            for fix in analysis.deprecationFixes() where fix.hasChanges { #expect(!fix.diff.isEmpty, "seed \(seed) round \(round)") }
        }
    }
}
