import HTTP
import MeshConfig
@testable import MeshRuntime
import Primitives
import QueryAPI
import Routing
import TelemetryModel
import Testing

@Suite struct ConfigurationControllerTests {
    private let directory = TemporaryDirectory()

    private func controller(node: String? = nil) -> ConfigurationController {
        var options = RuntimeOptions()
        options.configuration = [directory.path]
        options.node = node
        return ConfigurationController(options: options, catalogs: Catalogs())
    }

    private func lines(_ result: Result<(CompiledConfiguration, [Diagnostic]), ConfigurationError>) -> [String] {
        switch result {
        case .success: []
        case .failure(let error): error.lines
        }
    }

    /// A typing error in a file of a running mesh must cost nothing but a line in the log.
    @Test func aBadConfigurationKeepsTheLastGoodOne() throws {
        directory.write("a.yaml", YAML.service("reviews.default.svc.cluster.local"))
        var controller = controller()
        _ = try controller.load(resolved: [:]).get()
        let good = try #require(controller.current)
        #expect(controller.status.generation == good.routing.generation)
        #expect(controller.status.lastError.isEmpty)
        #expect(controller.status.lastSuccessUnixSeconds > 1_700_000_000)

        directory.write("b.yaml", YAML.broken)
        let wrong = lines(controller.load(resolved: [:]))
        #expect(wrong.contains { $0.contains("b.yaml") }, "the place is named: \(wrong)")
        #expect(controller.current?.routing === good.routing)
        #expect(controller.status.generation == good.routing.generation)
        #expect(controller.status.reloads == 1, "a refusal is no reload")
        #expect(controller.status.failures == 1)
        #expect(controller.status.lastError == Array(wrong.prefix(ConfigurationController.errorLinesMax)))

        // Names may resolve differently meanwhile: what is compiled again is the good configuration.
        #expect(controller.recompile(resolved: [:])?.mesh.resourceCounts == good.mesh.resourceCounts)

        directory.remove("b.yaml")
        _ = try controller.load(resolved: [:]).get()
        #expect(controller.status.failures == 1)
        #expect(controller.status.lastError.isEmpty)
        #expect(controller.status.generation > good.routing.generation)
    }

    /// What the environment prefers counts where the files are silent, and nowhere else.
    @Test func preferencesGiveWayToTheConfiguration() throws {
        func tracing(_ text: String?) throws -> TracingPolicy {
            directory.remove("mesh.yaml")
            if let text { directory.write("mesh.yaml", text) }
            var options = RuntimeOptions()
            options.configuration = [directory.path]
            options.samplingPercentage = 40
            options.reportsSpans = false
            var controller = ConfigurationController(options: options, catalogs: Catalogs())
            return try controller.load(resolved: [:]).get().0.routing.tracing.outbound
        }
        directory.write("a.yaml", YAML.service("reviews.default.svc.cluster.local"))
        let silent = try tracing(nil)
        #expect(silent.samplingPercentage == 40 && silent.isReportingDisabled)
        let mesh =
            "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: mesh}\n"
                + "spec: {meshConfig: {defaultConfig: {tracing: {sampling: 5}}}}\n"
        let spoken = try tracing(mesh)
        #expect(spoken.samplingPercentage == 5 && !spoken.isReportingDisabled)
        let telemetry =
            "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: all, namespace: istio-system}\n"
                + "spec: {tracing: [{randomSamplingPercentage: 7}]}\n"
        let resolved = try tracing(telemetry)
        #expect(resolved.samplingPercentage == 7 && !resolved.isReportingDisabled)
    }

    /// Half a file is what a reload sees while `cp` is at work.
    @Test func halfAFileIsABadConfiguration() throws {
        directory.write("a.yaml", YAML.service("reviews.default.svc.cluster.local"))
        var controller = controller()
        _ = try controller.load(resolved: [:]).get()
        let good = try #require(controller.current)
        directory.write("a.yaml", "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: rev")
        #expect(!lines(controller.load(resolved: [:])).isEmpty)
        #expect(controller.current?.routing === good.routing)
    }

    /// A thousand errors must not become a thousand lines in every status and metric; the first ones tell.
    @Test func keepsTheFirstLinesOfManyErrors() {
        directory.write("a.yaml", (0..<60).map { YAML.broken.split(separator: "broken").joined(separator: "broken-\($0)") }.joined())
        var controller = controller()
        let wrong = lines(controller.load(resolved: [:]))
        #expect(wrong.count >= 60)
        #expect(controller.status.lastError == Array(wrong.prefix(20)))
    }

    /// `: > mesh.yaml` while an editor is at work: adopted, every request would be 404 until the text comes.
    @Test func aFileThatIsEmptyAllAtOnceIsRefusedUnlessMeant() throws {
        directory.write("a.yaml", YAML.service("a.default.svc.cluster.local"))
        directory.write("b.yaml", YAML.service("b.default.svc.cluster.local"))
        var controller = controller()
        _ = try controller.load(resolved: [:]).get()
        directory.write("a.yaml", "")
        let wrong = lines(controller.load(resolved: [:]))
        #expect(wrong.contains { $0.contains("a.yaml had 1 resource") } && wrong.contains { $0.contains("SIGHUP") }, "\(wrong)")
        #expect(controller.current?.mesh.serviceEntries.count == 2)
        directory.write("a.yaml", "# nothing yet\n")
        #expect(!lines(controller.load(resolved: [:])).isEmpty)
        _ = try controller.load(resolved: [:], isMeant: true).get()
        #expect(controller.current?.mesh.serviceEntries.count == 1)
    }

    /// A file that goes is an edit; the last one that goes leaves nothing to serve.
    @Test func theLastFileThatGoesIsRefusedUnlessMeant() throws {
        directory.write("a.yaml", YAML.service("a.default.svc.cluster.local"))
        directory.write("b.yaml", YAML.service("b.default.svc.cluster.local"))
        var controller = controller()
        _ = try controller.load(resolved: [:]).get()
        directory.remove("a.yaml")
        _ = try controller.load(resolved: [:]).get()
        #expect(controller.current?.mesh.serviceEntries.count == 1)
        directory.remove("b.yaml")
        #expect(lines(controller.load(resolved: [:])).contains { $0.contains("the configuration had 1 resource") })
        _ = try controller.load(resolved: [:], isMeant: true).get()
        #expect(controller.current?.mesh.serviceEntries.isEmpty == true)
    }

    /// Served without it, a mesh that asked for protection would look protected.
    @Test func aPolicyThatIsNotEnforcedIsRefusedUnlessAllowed() throws {
        directory.write("a.yaml", YAML.workload("reviews-v1") + YAML.service("reviews.default.svc.cluster.local"))
        directory.write(
            "b.yaml",
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: ask, namespace: default}\n"
                + "spec: {phase: AUTHZ, url: 'oci://a/b:1'}\n")
        var guarded = controller(node: "reviews-v1")
        let wrong = lines(guarded.load(resolved: [:]))
        #expect(
            wrong.count == 1 && wrong[0].contains("WasmPlugin default/ask") && wrong[0].contains("--allow-unenforced"),
            "\(wrong)")
        var options = guarded.options
        options.allowsUnenforced = true
        var allowed = ConfigurationController(options: options, catalogs: Catalogs())
        let (_, diagnostics) = try allowed.load(resolved: [:]).get()
        #expect(diagnostics.contains { $0.severity == .warning && $0.code == "SKN0202" })
        #expect(allowed.status.unenforcedByKind == ["WasmPlugin": 1])
        // A proxy beside no workload has nothing that the policy selects.
        var nobody = controller()
        _ = try nobody.load(resolved: [:]).get()
    }

    /// `--node` is typed by hand.
    @Test func anUnknownNodeNamesTheKnownOnes() throws {
        directory.write("a.yaml", YAML.workload("reviews-v1") + YAML.workload("ratings-v1"))
        var controller = controller(node: "review-v1")
        let wrong = lines(controller.load(resolved: [:]))
        #expect(wrong == ["--node review-v1: no WorkloadEntry of that name; the configuration has default/ratings-v1, default/reviews-v1"])
        #expect(controller.current == nil)
        #expect(controller.status.failures == 1)

        var known = self.controller(node: "default/reviews-v1")
        let node = try known.load(resolved: [:]).get().0.node
        #expect(node.name == "reviews-v1")
        directory.remove("a.yaml")
        directory.write("b.yaml", YAML.service("a.b"))
        #expect(lines(known.load(resolved: [:])).first?.hasSuffix("the configuration has none") == true)
        #expect(known.current?.node.name == "reviews-v1")
    }

    /// A format that cannot be written must be refused with the configuration: adopted, the service would go on without the access log that
    /// somebody relies on, and every metric would say that all is well.
    @Test func anAccessLogThatCannotBeWrittenIsABadConfiguration() throws {
        directory.write("a.yaml", YAML.service("reviews.default.svc.cluster.local"))
        var controller = controller()
        _ = try controller.load(resolved: [:]).get()
        let good = try #require(controller.current)
        directory.write("b.yaml", meshConfig("accessLogFile: /dev/stdout\naccessLogFormat: \"%NO_SUCH_OPERATOR%\""))
        let wrong = lines(controller.load(resolved: [:]))
        #expect(wrong.contains { $0.contains("NO_SUCH_OPERATOR") }, "\(wrong)")
        #expect(controller.current?.routing === good.routing)
        #expect(controller.status.failures == 1)
        #expect(controller.status.generation == good.routing.generation)
    }

    /// Generations tell workers' configurations apart; one that came twice would let a wait for adoption end too early.
    @Test func generationsOnlyGrow() throws {
        directory.write("a.yaml", YAML.service("reviews.default.svc.cluster.local"))
        var controller = controller()
        var last: UInt64 = 0
        for round in 0..<6 {
            if round == 3 { directory.write("b.yaml", YAML.broken) } else { directory.remove("b.yaml") }
            _ = controller.load(resolved: [:])
            let generation =
                round % 2 == 0 ? controller.recompile(resolved: [:])?.routing.generation ?? 0 : controller.current?.routing.generation ?? 0
            #expect(round == 3 ? generation >= last : generation > last)
            last = generation
        }
    }

    /// The first start of a container: nothing to route, yet something to run.
    @Test func noConfigurationAtAllIsFine() throws {
        var controller = ConfigurationController(options: RuntimeOptions(), catalogs: Catalogs())
        let compiled = try controller.load(resolved: [:]).get().0
        #expect(compiled.routing.listeners.map(\.endpoint) == [SocketEndpoint(ipv4: 0x7F00_0001, port: 15001)])
        #expect(compiled.node.name.isEmpty)
    }

    @Test func aPathThatDoesNotExistIsNamed() {
        var options = RuntimeOptions()
        options.configuration = ["/no/such/place"]
        var controller = ConfigurationController(options: options, catalogs: Catalogs())
        #expect(lines(controller.load(resolved: [:])).contains { $0.contains("/no/such/place") })
    }
}

func meshConfig(_ lines: String) -> String {
    let body = lines.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n")
    return
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: mesh, namespace: istio-system}\nspec:\n"
            + "  meshConfig:\n\(body)\n---\n"
}

@Suite struct TelemetryPlannerTests {
    private func problems(_ yaml: String) throws -> [Diagnostic] {
        let (mesh, list) = MeshConfiguration.load(texts: [(name: "t.yaml", text: yaml)])
        try #require(!list.hasErrors, "\(list.items.map(\.text))")
        return TelemetryPlanner.problems(mesh, NodeIdentity())
    }

    @Test func aGoodFormatHasNone() throws {
        #expect(try problems(meshConfig("accessLogFile: /dev/stdout")).isEmpty)
        #expect(try problems(meshConfig("accessLogFile: /dev/stdout\naccessLogFormat: \"%RESPONSE_CODE% %REQ(X-A)%\"")).isEmpty)
        #expect(try problems(meshConfig("accessLogFile: /dev/stdout\naccessLogEncoding: JSON")).isEmpty)
        #expect(try problems(YAML.service("a.b")).isEmpty)
    }

    /// Both directions share the mesh's format: the message comes once, with the provider and the operator.
    @Test func aBadFormatIsSaidOnce() throws {
        let found = try problems(meshConfig("accessLogFile: /dev/stdout\naccessLogFormat: \"%NOPE%\""))
        #expect(found.count == 1)
        #expect(found.first?.severity == .error)
        #expect(found.first?.code == "SKN0330")
        #expect(found.first?.message.contains("NOPE") == true)
        #expect(found.first?.position.file == "t.yaml")
        let json = try problems(meshConfig("accessLogFile: /dev/stdout\naccessLogEncoding: JSON\naccessLogFormat: '{\"a\": 5'"))
        #expect(json.count == 1)
        #expect(json.first?.message.contains("expected }") == true)
        #expect(
            try problems(
                meshConfig("accessLogFile: /dev/stdout\naccessLogEncoding: JSON\naccessLogFormat: '{\"a\": 5, \"b\": {\"c\": true}}'")
            ).isEmpty)
    }

    /// Records have so many places for headers and no more; found out while running, the log would stop.
    @Test func moreHeadersThanARecordHolds() throws {
        func format(_ count: Int) -> String { (0..<count).map { "%REQ(X-\($0))%" }.joined(separator: " ") }
        let max = HeaderCapture.countMax
        #expect(try problems(meshConfig("accessLogFile: /dev/stdout\naccessLogFormat: \"\(format(max))\"")).isEmpty)
        let found = try problems(meshConfig("accessLogFile: /dev/stdout\naccessLogFormat: \"\(format(max + 1))\""))
        #expect(
            found.map(\.message) == ["the access-log formats print \(max + 1) different headers; at most \(max) are accepted, use fewer"])
        #expect(found.map(\.code) == ["SKN0331"])
    }

    @Test func relativePathsStartWhereTheyAreTold() {
        #expect(TelemetryPlanner.path("a.log", in: nil) == "a.log")
        #expect(TelemetryPlanner.path("a.log", in: "/var/log") == "/var/log/a.log")
        #expect(TelemetryPlanner.path("a.log", in: "/var/log/") == "/var/log/a.log")
        #expect(TelemetryPlanner.path("/dev/stdout", in: "/var/log") == "/dev/stdout")
    }
}

@Suite struct RuntimeOptionsTests {
    /// Everything is on loopback unless somebody says otherwise: nobody opens a collector to the world by starting it.
    @Test func theDefaultsAreOnLoopback() {
        let options = RuntimeOptions()
        let ports = [
            options.outboundPort, options.inboundPort, options.adminPort, options.readinessPort, options.metricsPort, options.zipkinPort,
            options.otlpPort, options.otlpGRPCPort,
        ]
        #expect(ports == [15001, 15006, 15000, 15021, 15090, 9411, 4318, 4317])
        #expect(ports.allSatisfy { options.endpoint($0)?.isLoopback == true })
        #expect(Set(ports).count == ports.count)
    }

    /// 0 switches a port off; an address that is none must not silently become another one.
    @Test func anEndpointIsAnAddressAndAPort() {
        var options = RuntimeOptions()
        #expect(options.endpoint(0) == nil)
        options.bindAddress = "::1"
        #expect(options.endpoint(80) == SocketEndpoint(ipv6High: 0, ipv6Low: 1, port: 80))
        for address in ["localhost", "", "1.2.3", "1.2.3.4.5", "256.0.0.1", "127.0.0.1:80"] {
            options.bindAddress = address
            #expect(options.endpoint(80) == nil, "\(address)")
        }
    }
}
