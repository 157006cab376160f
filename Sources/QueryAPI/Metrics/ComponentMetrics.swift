internal import EventLoops
public import HTTPService
internal import Synchronization
public import TelemetryModel
internal import TelemetryWire

/// A bounded queue between two components.
public struct QueueHealth: Sendable {
    /// A fixed name: `records`, `spans`, `zipkin_export`...
    public var queue: String
    public var depth: Double
    public var capacity: Double

    public init(queue: String, depth: Double, capacity: Double) {
        self.queue = queue
        self.depth = depth
        self.capacity = capacity
    }
}

/// The families that every Skein exposes, under the names that `dashboards/` uses.
extension SelfMetrics {
    /// The process: CPU, memory, descriptors, threads, start; under Prometheus' conventional names as well as ours.
    public func registerProcess(version: String) {
        register {
            let now = ProcessResources.current()
            return [
                MetricSamples(
                    name: "skein_build_info", help: "Version of the running program; always 1.", kind: .gauge, label: "version",
                    values: [(version, 1)]),
                MetricSamples(
                    name: "skein_cpu_seconds_total", help: "User and system CPU time spent, in seconds.", kind: .counter,
                    value: now.cpuSeconds),
                MetricSamples(
                    name: "skein_resident_memory_bytes", help: "Resident memory in bytes.", kind: .gauge, value: Double(now.residentBytes)),
                MetricSamples(name: "skein_open_fds", help: "Open file descriptors.", kind: .gauge, value: Double(now.openDescriptors)),
                MetricSamples(name: "skein_threads", help: "Threads of the process.", kind: .gauge, value: Double(now.threads)),
                MetricSamples(
                    name: "skein_start_time_seconds", help: "Start of the process in seconds since 1970.", kind: .gauge,
                    value: now.startTimeSeconds),
                MetricSamples(
                    name: "process_cpu_seconds_total", help: "Total user and system CPU time spent in seconds.", kind: .counter,
                    value: now.cpuSeconds),
                MetricSamples(
                    name: "process_resident_memory_bytes", help: "Resident memory size in bytes.", kind: .gauge,
                    value: Double(now.residentBytes)),
                MetricSamples(
                    name: "process_virtual_memory_bytes", help: "Virtual memory size in bytes.", kind: .gauge,
                    value: Double(now.virtualBytes)),
                MetricSamples(
                    name: "process_open_fds", help: "Number of open file descriptors.", kind: .gauge, value: Double(now.openDescriptors)),
                MetricSamples(
                    name: "process_max_fds", help: "Maximum number of open file descriptors.", kind: .gauge,
                    value: Double(now.descriptorsMax)),
                MetricSamples(
                    name: "process_start_time_seconds", help: "Start time of the process since unix epoch in seconds.", kind: .gauge,
                    value: now.startTimeSeconds),
            ]
        }
    }

    /// One of the process's own HTTP servers. `name` is one of a few fixed words.
    public func registerServer(_ name: String, _ statistics: ServiceStatistics) {
        register {
            func family(_ suffix: String, _ help: String, _ kind: MetricKind, _ value: Double) -> MetricSamples {
                MetricSamples(name: "skein_server_" + suffix, help: help, kind: kind, label: "server", values: [(name, value)])
            }
            return [
                family("connections_active", "Open connections of an own HTTP server.", .gauge, Double(
                    statistics.connectionsActive.load(ordering: .relaxed))),
                family("requests_total", "Requests handled by an own HTTP server.", .counter, Double(
                    statistics.requestsTotal.load(ordering: .relaxed))),
                family(
                    "requests_refused_total", "Requests refused for their form, their size or the load.", .counter,
                    Double(statistics.requestsRefused.load(ordering: .relaxed))),
                family(
                    "requests_abandoned_total", "Requests taken and given up without an answer; the client got a 500.", .counter,
                    Double(statistics.requestsAbandoned.load(ordering: .relaxed))),
                family(
                    "accept_failures_total", "Connections that could not be taken.", .counter,
                    Double(statistics.acceptFailures.load(ordering: .relaxed))),
                family(
                    "streams_cut_total", "Answers broken off because their reader did not take them.", .counter,
                    Double(statistics.streamsCut.load(ordering: .relaxed))),
                family(
                    "floods_total", "HTTP/2 connections ended for asking more than they did.", .counter,
                    Double(statistics.floods.load(ordering: .relaxed))),
                family(
                    "tls_handshakes_total", "TLS handshakes that were done.", .counter,
                    Double(statistics.handshakes.load(ordering: .relaxed))),
                family(
                    "tls_handshakes_failed_total", "TLS handshakes that failed or were not done in time, but those of refused clients.",
                    .counter, Double(statistics.handshakesFailed.load(ordering: .relaxed))),
                family(
                    "tls_clients_refused_total",
                    "TLS handshakes refused for the client's certificate: none where one is demanded, or not believed.", .counter,
                    Double(statistics.clientsRefused.load(ordering: .relaxed))),
                family(
                    "tls_revoked_connections_ended_total", "Connections ended because the client's certificate was revoked meanwhile.",
                    .counter, Double(statistics.revokedEnded.load(ordering: .relaxed))),
                family(
                    "tls_handshakes_overflowed_total", "Connections closed because too many TLS handshakes were under way.", .counter,
                    Double(statistics.handshakesOverflowed.load(ordering: .relaxed))),
                family(
                    "plaintext_to_tls_total", "Connections that brought plaintext to a port that speaks TLS.", .counter,
                    Double(statistics.plaintextToTLS.load(ordering: .relaxed))),
                family(
                    "tls_to_plaintext_total", "Connections that brought TLS to a port that speaks plaintext.", .counter,
                    Double(statistics.tlsToPlaintext.load(ordering: .relaxed))),
            ]
        }
    }

    public func registerQueryPool(_ pool: QueryPool) {
        register { [pool] in
            [
                MetricSamples(
                    name: "skein_queue_depth", help: "Entries waiting in a bounded queue.", kind: .gauge, label: "queue",
                    values: [("query", Double(pool.depth))]),
                MetricSamples(
                    name: "skein_queue_capacity", help: "Entries that a bounded queue holds at most.", kind: .gauge, label: "queue",
                    values: [("query", Double(pool.queueMax))]),
                MetricSamples(
                    name: "skein_queries_total", help: "Queries and scrapes answered.", kind: .counter, value: Double(pool.finished)),
                MetricSamples(
                    name: "skein_queries_refused_total", help: "Queries refused because too many were waiting.", kind: .counter,
                    value: Double(pool.refused)),
            ]
        }
    }

    public func registerQueues(_ queues: @escaping @Sendable () -> [QueueHealth]) {
        register {
            let now = queues()
            return [
                MetricSamples(
                    name: "skein_queue_depth", help: "Entries waiting in a bounded queue.", kind: .gauge, label: "queue",
                    values: now.map { ($0.queue, $0.depth) }),
                MetricSamples(
                    name: "skein_queue_capacity", help: "Entries that a bounded queue holds at most.", kind: .gauge, label: "queue",
                    values: now.map { ($0.queue, $0.capacity) }),
            ]
        }
    }

    /// In the order of the workers, whose label is their place.
    public func registerProxy(_ workers: [WorkerStatistics]) {
        register {
            func family(_ suffix: String, _ help: String, _ kind: MetricKind, _ value: (WorkerStatistics) -> Double) -> MetricSamples {
                MetricSamples(
                    name: "skein_proxy_" + suffix, help: help, kind: kind, label: "worker",
                    values: workers.enumerated().map { (String($0.offset), value($0.element)) })
            }
            func gauge(_ suffix: String, _ help: String, _ value: (WorkerStatistics) -> Int) -> MetricSamples {
                family(suffix, help, .gauge) { Double(value($0)) }
            }
            func counter(_ suffix: String, _ help: String, _ value: (WorkerStatistics) -> UInt64) -> MetricSamples {
                family(suffix, help, .counter) { Double(value($0)) }
            }
            return [
                gauge("downstream_connections_active", "Open connections from clients.") { $0.downstreamActive.load(ordering: .relaxed) },
                gauge("upstream_connections_active", "Open connections to upstreams.") { $0.upstreamActive.load(ordering: .relaxed) },
                gauge("requests_active", "Requests being forwarded.") { $0.requestsActive.load(ordering: .relaxed) },
                counter("downstream_connections_total", "Connections accepted from clients.") {
                    $0.downstreamTotal.load(ordering: .relaxed)
                },
                counter("upstream_connections_total", "Connections opened to upstreams.") { $0.upstreamTotal.load(ordering: .relaxed) },
                counter("upstream_connect_failures_total", "Connections to upstreams that failed.") {
                    $0.upstreamConnectFailures.load(ordering: .relaxed)
                },
                counter("requests_total", "Requests begun, whatever came of them.") { $0.requestsTotal.load(ordering: .relaxed) },
                counter("accept_failures_total", "Connections refused for want of room or descriptors.") {
                    $0.acceptFailures.load(ordering: .relaxed)
                },
                counter("protocol_errors_total", "Requests refused for their form.") { $0.protocolErrors.load(ordering: .relaxed) },
                counter("tls_handshakes_total", "TLS handshakes with clients that came to their end.") {
                    $0.tlsHandshakes.load(ordering: .relaxed)
                },
                counter("tls_resumptions_total", "TLS handshakes with clients that went on with an earlier session.") {
                    $0.tlsResumptions.load(ordering: .relaxed)
                },
                counter("revoked_connections_ended_total", "Connections ended because the peer's certificate was revoked meanwhile.") {
                    $0.revokedEnded.load(ordering: .relaxed)
                },
                counter("tls_handshake_failures_total", "TLS handshakes with clients that failed.") {
                    $0.tlsHandshakeFailures.load(ordering: .relaxed)
                },
                counter("plaintext_refused_total", "Connections without TLS to ports that take nothing else.") {
                    $0.plaintextRefused.load(ordering: .relaxed)
                },
                counter("tls_server_names_unknown_total", "TLS connections for a server name that no server of the port has.") {
                    $0.serverNamesUnknown.load(ordering: .relaxed)
                },
                counter("refusals_unlogged_total", "Refused connections without a line in the access log: too many came in a second.") {
                    $0.refusalsUnlogged.load(ordering: .relaxed)
                },
                counter("upstream_tls_handshakes_total", "TLS handshakes with endpoints that came to their end.") {
                    $0.upstreamTLSHandshakes.load(ordering: .relaxed)
                },
                counter("upstream_tls_resumptions_total", "TLS handshakes with endpoints that went on with an earlier session.") {
                    $0.upstreamTLSResumptions.load(ordering: .relaxed)
                },
                counter("upstream_tls_failures_total", "TLS handshakes with endpoints that failed.") {
                    $0.upstreamTLSFailures.load(ordering: .relaxed)
                },
                counter("spliced_bytes_total", "Bytes of tunnels that moved inside the kernel.") {
                    $0.splicedBytes.load(ordering: .relaxed)
                },
                counter("stale_retries_total", "Requests sent again because a kept-alive connection was gone.") {
                    $0.staleRetries.load(ordering: .relaxed)
                },
                counter("retries_total", "Further attempts begun.") { $0.retries.load(ordering: .relaxed) },
                counter("fault_delays_total", "Requests delayed by fault injection.") { $0.faultDelays.load(ordering: .relaxed) },
                counter("fault_aborts_total", "Requests aborted by fault injection.") { $0.faultAborts.load(ordering: .relaxed) },
                counter("mirrors_total", "Copies of requests sent to mirrors.") { $0.mirrors.load(ordering: .relaxed) },
                counter("mirrors_dropped_total", "Copies given up because their upstream was too slow or a table was full.") {
                    $0.mirrorsDropped.load(ordering: .relaxed)
                },
                counter("http2_connections_total", "Connections from clients that speak HTTP/2.") {
                    $0.http2Connections.load(ordering: .relaxed)
                },
                counter("http2_floods_total", "HTTP/2 connections ended for flooding.") { $0.http2Floods.load(ordering: .relaxed) },
                counter("http2_early_resets_total", "HTTP/2 requests taken back before they were looked at.") {
                    $0.http2EarlyResets.load(ordering: .relaxed)
                },
                counter("fields_dropped_total", "Fields left out of trailers, for underscores in one of our names, or for their length.") {
                    $0.fieldsDropped.load(ordering: .relaxed)
                },
                counter("upstream_protocol_errors_total", "Responses that broke the protocol.") {
                    $0.upstreamProtocolErrors.load(ordering: .relaxed)
                },
                family("loop_lag_seconds", "Longest turn of the event loop since the last scrape, in seconds.", .gauge) {
                    Double($0.turnNanosecondsMax.exchange(0, ordering: .relaxed)) / 1e9
                },
            ]
        }
    }

    public func registerConfiguration(_ status: @escaping @Sendable () -> ConfigurationStatus) {
        register {
            let now = status()
            return [
                MetricSamples(
                    name: "skein_config_generation", help: "Generation of the configuration in force.", kind: .gauge,
                    value: Double(now.generation)),
                MetricSamples(
                    name: "skein_config_reloads_total", help: "Configurations adopted.", kind: .counter, value: Double(now.reloads)),
                MetricSamples(
                    name: "skein_config_reload_failures_total", help: "Configurations refused because of errors.", kind: .counter,
                    value: Double(now.failures)),
                MetricSamples(
                    name: "skein_config_last_reload_successful", help: "Whether the last configuration was adopted.", kind: .gauge,
                    value: now.lastError.isEmpty ? 1 : 0),
                MetricSamples(
                    name: "skein_config_last_reload_success_timestamp_seconds",
                    help: "When a configuration was last adopted, in seconds since 1970.",
                    kind: .gauge, value: Double(now.lastSuccessUnixSeconds)),
                MetricSamples(
                    name: "skein_unenforced_policies",
                    help: "Security policies that select this workload and are not enforced by this version.",
                    kind: .gauge, label: "kind",
                    values: now.unenforcedByKind.sorted { $0.key < $1.key }.map { ($0.key, Double($0.value)) }),
            ]
        }
    }

    public func registerStore(_ store: any TraceQuerying) {
        register {
            let now = store.statistics()
            func gauge(_ suffix: String, _ help: String, _ value: UInt64) -> MetricSamples {
                MetricSamples(name: "skein_store_" + suffix, help: help, kind: .gauge, value: Double(value))
            }
            func counter(_ suffix: String, _ help: String, _ value: UInt64) -> MetricSamples {
                MetricSamples(name: "skein_store_" + suffix, help: help, kind: .counter, value: Double(value))
            }
            func byLabel(_ suffix: String, _ help: String, _ label: String, _ values: [(String, UInt64)]) -> MetricSamples {
                MetricSamples(
                    name: "skein_store_" + suffix, help: help, kind: .counter, label: label,
                    values: values.sorted { $0.0 < $1.0 }.map { ($0.0, Double($0.1)) })
            }
            return [
                gauge("healthy", "Whether the store takes and answers.", now.problem == nil ? 1 : 0),
                gauge(
                    "degraded",
                    "Whether the store refuses spans or queries, or lost something stored that its log line, page and /health describe.",
                    now.problem == nil && now.damage.isEmpty ? 0 : 1),
                counter("spans_accepted_total", "Spans committed and acknowledged.", now.spansAccepted),
                byLabel("spans_refused_total", "Spans the store refused, by reason.", "reason", now.spansRefused.map { ($0.rawValue, $1) }),
                counter("spans_expired_total", "Spans deleted by retention.", now.spansExpired),
                gauge("spans", "Spans readable now.", now.spansStored),
                gauge("journal_rows", "Journal rows waiting for compaction.", now.journalRows),
                gauge("journal_spans", "Spans waiting for compaction.", now.journalSpans),
                gauge("journal_bytes", "Bytes waiting for compaction.", now.journalBytes),
                gauge("queued_batches", "Batches waiting for their commit.", now.queuedBatches),
                gauge("queued_bytes", "Bytes waiting for their commit.", now.queuedBytes),
                gauge("segments", "Trace segments.", now.segments),
                gauge("segment_bytes", "Bytes of all trace segments.", now.segmentBytes),
                gauge("file_bytes", "Bytes of the database and its write-ahead log.", now.fileBytes),
                counter("commits_total", "Transactions that made spans durable.", now.commits),
                counter("compactions_total", "Compactions of the journal into a segment.", now.compactions),
                counter("merges_total", "Merges of small segments.", now.merges),
                byLabel(
                    "quarantined_total", "Damaged things set aside, by what they are.", "kind", now.quarantined.map { ($0.rawValue, $1) }),
            ]
        }
    }
}
