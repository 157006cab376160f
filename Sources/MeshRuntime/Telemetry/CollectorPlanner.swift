internal import Collector
internal import Logging
internal import MeshConfig
internal import Routing
internal import TelemetryModel

/// What the collector does with records, from a configuration.
enum CollectorPlanner {
    static func plan(
        _ compiled: CompiledConfiguration, _ options: RuntimeOptions, _ history: inout CaptureHistory, _ exporters: inout SpanExporters,
        _ log: Logger
    ) throws -> CollectorPlan {
        let identity = TelemetryPlanner.spanIdentity(compiled.node, serviceName: options.spanServiceName)
        var used: [Exporter<SpanBatch>] = []
        func side(
            _ log: AccessLogPolicy, _ tracing: TracingPolicy, _ exporters: inout SpanExporters, _ used: inout [Exporter<SpanBatch>],
            _ problems: inout [String]
        ) -> CollectorPlan.Side {
            let (outputs, wrong) = TelemetryPlanner.outputs(log)
            let (targets, notYet) = exporters.exporters(for: tracing, in: compiled.mesh)
            problems += wrong + notYet
            used += targets
            return CollectorPlan.Side(
                outputs: outputs.map {
                    CollectorPlan.Output(path: TelemetryPlanner.path($0.path, in: options.accessLogDirectory), format: $0.format)
                },
                spans: tracing.isReportingDisabled ? nil : identity, exporters: targets)
        }
        var problems: [String] = []
        let routing = compiled.routing
        let outbound = side(routing.accessLog.outbound, routing.tracing.outbound, &exporters, &used, &problems)
        let inbound = side(routing.accessLog.inbound, routing.tracing.inbound, &exporters, &used, &problems)
        for problem in Set(problems).sorted() { log.warning("\(problem)") }
        let plan = try CollectorPlan(outbound: outbound, inbound: inbound, history: &history)
        exporters.retire(except: used)
        return plan
    }
}
