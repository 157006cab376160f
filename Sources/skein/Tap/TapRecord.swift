/// A line of the admin port's `/logs?format=tap`: a request, or how many were left out.
struct TapRecord: Decodable {
    var dropped: UInt64?
    var start_time: String?
    var side: String?
    var source_workload: String?
    var source_namespace: String?
    var destination_workload: String?
    var destination_namespace: String?
    var destination_service: String?
    var method: String?
    var path: String?
    var authority: String?
    var response_code: Int?
    var response_flags: String?
    var response_code_details: String?
    var duration_us: UInt64?
    var upstream_cluster: String?
    var upstream_host: String?
    var downstream_remote_address: String?
    var trace_id: String?
    var attempts: Int?

    /// The workload, or the address that the request came from.
    var from: String {
        if let workload = Self.known(source_workload) { return Self.joined(workload, source_namespace) }
        guard let address = Self.known(downstream_remote_address) else { return "-" }
        // Ports of clients say nothing.
        return address.lastIndex(of: ":").map { String(address[..<$0]) } ?? address
    }

    /// The workload, the service, the cluster's host or the host that was asked for: the first that is known.
    var to: String {
        if let workload = Self.known(destination_workload) { return Self.joined(workload, destination_namespace) }
        if let service = Self.known(destination_service) { return service }
        if let cluster = Self.known(upstream_cluster) { return cluster.split(separator: "|").last.map(String.init) ?? cluster }
        return Self.known(authority) ?? "-"
    }

    /// All names of both ends, for filters.
    var fromNames: [String] { [source_workload, source_namespace, downstream_remote_address, from].compactMap(Self.known) }
    var toNames: [String] {
        let names = [destination_workload, destination_namespace, destination_service, upstream_cluster, upstream_host, authority]
        return names.compactMap(Self.known)
    }
    var serviceNames: [String] { [destination_service, upstream_cluster, authority].compactMap(Self.known) }

    var reason: String {
        TapReason.text(status: response_code ?? 0, flags: response_flags ?? "", details: response_code_details ?? "")
    }

    private static func known(_ text: String?) -> String? {
        guard let text, !text.isEmpty, text != "-", text != "unknown" else { return nil }
        return text
    }

    private static func joined(_ workload: String, _ namespace: String?) -> String {
        known(namespace).map { $0 == "default" ? workload : "\(workload).\($0)" } ?? workload
    }
}
