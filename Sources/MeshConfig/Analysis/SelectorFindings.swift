/// Selectors that select nobody (IST0127), and Telemetry resources that speak for one workload or namespace twice (IST0159, IST0160).
enum SelectorFindings {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        let workloads = WorkloadsByLabel(context.configuration.workloadEntries)
        checkServices(context, workloads, &report)
        checkTelemetry(context, workloads, &report)
    }

    private static func checkServices(_ context: AnalysisContext, _ workloads: WorkloadsByLabel, _ report: inout AnalysisReport) {
        let selecting = context.configuration.serviceEntries.filter { !($0.workloadSelector?.isEmpty ?? true) }
        if context.configuration.workloadEntries.isEmpty {
            guard let first = selecting.first else { return }
            report.add(
                .nothingDeclared, first.id, first.position, "spec.workloadSelector",
                "no WorkloadEntry is among the files: whether selectors select any is not checked",
                hint: "Name the files that declare the workloads as well; without them the service has no endpoints.")
            return
        }
        for service in selecting {
            let selector = service.workloadSelector ?? [:]
            guard workloads.selected(by: selector, namespace: service.id.namespace).isEmpty else { continue }
            let wanted = selector.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: ",")
            report.add(
                .noWorkloads, service.id, service.position, "spec.workloadSelector",
                "no WorkloadEntry in namespace \(service.id.namespace) carries \(wanted): the service has no endpoints, and requests to "
                    + "it answer 503")
        }
    }

    private static func checkTelemetry(_ context: AnalysisContext, _ workloads: WorkloadsByLabel, _ report: inout AnalysisReport) {
        var wide: [String: ResourceID] = [:]
        var selecting: [ResourceID: ResourceID] = [:]
        for telemetry in context.configuration.telemetries {
            guard !telemetry.attachment.isWide else {
                if let first = wide[telemetry.id.namespace] {
                    report.add(
                        .multipleDefaultTelemetries, telemetry.id, telemetry.position, "spec.selector",
                        "\(first) has no selector either; only that one, the first loaded, is used for the namespace")
                } else {
                    wide[telemetry.id.namespace] = telemetry.id
                }
                continue
            }
            // A gateway's Telemetry names it: only one of several for it is used, as for workloads.
            for workload in workloads.attached(telemetry.attachment, in: telemetry.id.namespace) {
                guard let first = selecting[workload.id] else {
                    selecting[workload.id] = telemetry.id
                    continue
                }
                if first == telemetry.id { continue }
                report.add(
                    .conflictingTelemetrySelectors, telemetry.id, telemetry.position, "spec.selector",
                    "\(first) selects \(workload.id) as well; only that one, the first loaded, is used for it")
                break
            }
        }
    }
}
