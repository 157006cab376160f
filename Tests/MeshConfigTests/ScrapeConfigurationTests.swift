@testable import MeshConfig
import Testing

/// Prometheus' configuration of static targets: what is read, and that nothing is left out in silence.
@Suite struct ScrapeConfigurationTests {
    func read(_ text: String) -> (targets: [ScrapeConfiguration.Target], problems: [String]) {
        switch ScrapeConfiguration.read(Array(text.utf8), file: "p.yml") {
        case .success(let configuration): (configuration.targets, [])
        case .failure(let problems): ([], problems.list.map { "\($0)" })
        }
    }

    @Test func jobsAndTheirTargets() throws {
        let (targets, problems) = read(
            """
            global: {scrape_interval: 30s, sample_limit: 100}
            scrape_configs:
            - job_name: node
              static_configs:
              - targets: ["10.0.0.7:9100", '[::1]:9100', plain]
                labels: {zone: a, instance: mine}
              - targets: [b:1]
            - job_name: envoy
              metrics_path: /stats/prometheus
              scheme: http
              params: {usedonly: [""], "filter x": ["a&b", c]}
              scrape_interval: 5s
              scrape_timeout: 1s500ms
              honor_labels: true
              honor_timestamps: false
              sample_limit: 0
              static_configs: [{targets: [c:2], labels: {job: other}}]
            """)
        #expect(problems.isEmpty)
        #expect(targets.map { "\($0.host) \($0.port)" } == ["10.0.0.7 9100", "::1 9100", "plain 80", "b 1", "c 2"])
        #expect(targets[0].labels.map { "\($0.name)=\($0.value)" } == ["instance=mine", "job=node", "zone=a"])
        #expect(targets[3].labels.map { "\($0.name)=\($0.value)" } == ["instance=b:1", "job=node"])
        let (node, envoy) = (targets[0], targets[4])
        #expect(node.path == "/metrics" && node.sampleLimit == 100)
        #expect(node.intervalMilliseconds == 30_000 && node.timeoutMilliseconds == 10_000)
        #expect(!node.honorsLabels && node.honorsTimestamps)
        #expect(envoy.path == "/stats/prometheus?usedonly=&filter%20x=a%26b&filter%20x=c")
        #expect(envoy.intervalMilliseconds == 5000 && envoy.timeoutMilliseconds == 1500 && envoy.sampleLimit == 0)
        #expect(envoy.honorsLabels && !envoy.honorsTimestamps)
        #expect(envoy.labels.map { "\($0.name)=\($0.value)" } == ["instance=c:2", "job=other"])
    }

    /// The one to start from.
    @Test func theQuickstartIsAccepted() throws {
        let targets = try ScrapeConfiguration.read(TestFiles.root + "/Config/prometheus/quickstart.yml").get().targets
        #expect(targets.count == 6 && targets.allSatisfy { $0.job == "skein" && $0.path == "/stats/prometheus" })
        #expect(targets.allSatisfy { $0.intervalMilliseconds == 5000 && $0.timeoutMilliseconds == 5000 })
        #expect(throws: ScrapeConfiguration.Problems.self) { try ScrapeConfiguration.read("/nonexistent.yml").get() }
    }

    @Test func defaultsArePrometheus() {
        let target = read("scrape_configs: [{job_name: a, static_configs: [{targets: [b:1]}]}]").targets.first
        #expect(target?.intervalMilliseconds == 60_000 && target?.timeoutMilliseconds == 10_000)
        // An interval below the timeout that nobody asked for shortens it.
        let short = read("scrape_configs: [{job_name: a, scrape_interval: 2s, static_configs: [{targets: [b:1]}]}]").targets.first
        #expect(short?.timeoutMilliseconds == 2000)
    }

    @Test(arguments: [
        ("rule_files: [a]\nscrape_configs: []", "p.yml:1:1: rule_files is not supported: accepted are global, scrape_configs"),
        (
            "global: {external_labels: {a: b}}\nscrape_configs: []",
            "p.yml:1:10: global.external_labels is not supported: accepted are scrape_interval"
        ),
        (
            "scrape_configs:\n- {job_name: a, static_configs: []}\n- {job_name: a, static_configs: []}",
            "p.yml:3:14: job_name \"a\" is there twice"
        ),
        ("scrape_configs: 7", "scrape_configs: expected a list, got the number 7"), ("[]", "expected a mapping, got a list"),
        ("", "expected one document"), ("a: [", "p.yml:"), ("global: {}", "scrape_configs is required"),
        ("scrape_configs:\n- static_configs: []", "p.yml:2:3: job_name is required"),
        ("scrape_configs:\n- job_name: a", "p.yml:2:3: job \"a\" has no static_configs"),
    ])
    func whatIsNotSupportedIsToldWithItsPlace(_ text: String, _ expected: String) {
        let problems = read(text).problems
        #expect(problems.contains { $0.contains(expected) }, "\(problems)")
    }

    /// Fields of one job.
    @Test(arguments: [
        ("kubernetes_sd_configs: []", "p.yml:2:17: scrape_configs.kubernetes_sd_configs is not supported: accepted are job_name"),
        ("scheme: ftp", "p.yml:2:25: scheme ftp is not supported: accepted are http, https"),
        ("tls_config: {ca: x}", "tls_config.ca is not supported: accepted are ca_file, cert_file, key_file"),
        ("tls_config: {cert_file: x}", "p.yml:2:29: cert_file and key_file are given together"),
        ("tls_config: {min_version: SSL3}", "min_version SSL3: accepted are TLS10, TLS11, TLS12, TLS13"),
        ("tls_config: {insecure_skip_verify: 7}", "insecure_skip_verify: expected true or false"),
        ("scrape_interval: 5", "p.yml:2:34: scrape_interval: expected a duration, such as 15s"),
        ("scrape_interval: 10ms", "scrape_interval is out of range: accepted are 1000 ms to 3600 s"),
        ("scrape_interval: 5s, scrape_timeout: 6s", "scrape_timeout is longer than scrape_interval"),
        ("honor_labels: maybe", "honor_labels: expected true or false, got the string \"maybe\""),
        ("sample_limit: -1", "sample_limit: expected a whole number"), ("metrics_path: x", "p.yml:2:31: metrics_path: expected a path"),
        ("static_configs: [{targets: [\"http://b:1\"]}]", "p.yml:2:45: a target is HOST:PORT"),
        ("static_configs: [{targets: [\"b:99999\"]}]", "a target is HOST:PORT"),
        ("static_configs: [{targets: [b:1], labels: {__x: y}}]", "names that begin with __ are not supported"),
    ])
    func whatAJobCannotSayIsToldWithItsPlace(_ fields: String, _ expected: String) {
        let rest = fields.contains("static_configs") ? "" : ", static_configs: []"
        let problems = read("scrape_configs:\n- {job_name: a, \(fields)\(rest)}").problems
        #expect(problems.contains { $0.contains(expected) }, "\(problems)")
    }

    @Test func aJobMaySpeakTLS() throws {
        let text = """
            scrape_configs:
            - job_name: a
              scheme: https
              static_configs: [{targets: ["b", "c:9"]}]
              tls_config: {ca_file: ca.pem, cert_file: /k/c.pem, key_file: k.pem, server_name: d, min_version: TLS13, \
            insecure_skip_verify: true}
            - {job_name: e, scheme: https, static_configs: [{targets: [f]}]}
            """
        let targets = try ScrapeConfiguration.read(Array(text.utf8), file: "/etc/p.yml").get().targets
        #expect(targets.map(\.port) == [443, 9, 443] && targets.allSatisfy { $0.isSecure })
        var tls = ScrapeConfiguration.TLS()
        (tls.authorities, tls.certificate, tls.key, tls.serverName) = ("/etc/ca.pem", "/k/c.pem", "/etc/k.pem", "d")
        (tls.skipsVerification, tls.oldestIsTLS13) = (true, true)
        #expect(targets[0].tls == tls && targets[1].tls == tls && targets[2].tls == nil)
    }

    @Test func thereAreBounds() {
        let many = (0...64).map { "h\($0):1" }.joined(separator: ", ")
        let problem = read("scrape_configs: [{job_name: a, static_configs: [{targets: [\(many)]}]}]").problems.first
        #expect(problem?.contains("more than 64 targets") == true)
        let wrong = (0..<50).map { "x\($0): 1" }.joined(separator: "\n")
        let problems = read(wrong).problems
        #expect(problems.count == 20 && problems.last?.contains("and 31 more problems") == true, "50 fields, and no scrape_configs")
    }

    @Test(arguments: [
        ("15s", 15_000), ("1m30s", 90_000), ("500ms", 500), ("1y2w3d4h5m6s7ms", 33_019_506_007), ("0", 0), ("1s1m", nil), ("1m1m", nil),
        ("5", nil), ("", nil), ("-1s", nil), ("1.5s", nil), ("99999999999999999999s", nil), ("9223372036854775807y", nil),
    ] as [(String, Int64?)])
    func durations(_ text: String, _ expected: Int64?) { #expect(PrometheusDuration.milliseconds(text) == expected) }
}
