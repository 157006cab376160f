// What the mesh's metrics say of services and of who calls whom. The rules are those of `skein top`, so that both say the same.

import { query, queryRange } from "./api.js";

/** Of the last …: at least twice as long as metrics are apart. */
export const WINDOWS = [["1m", "1 minute"], ["5m", "5 minutes"], ["15m", "15 minutes"], ["1h", "1 hour"]];
// The client's count is believed, because it has seen also what reached nobody, unless the server's is greater by more than this.
const TOLERANCE = 1.1;
const SPARK_SECONDS = 1800;
const SPARK_STEP = 60;
// gRPC statuses that are the server's errors: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
const GRPC_FAILURES = new Set(["2", "4", "12", "13", "14", "15"]);

const OUTCOME = "request_protocol,response_code,grpc_response_status";
export const quantile = (share, by, selector, window) =>
  `histogram_quantile(${share}, sum by (${by},le) (rate(istio_request_duration_milliseconds_bucket${selector}[${window}])))`;

/** A PromQL string: its escapes are Go's, of which JSON's are some. */
export const quoted = (text) => JSON.stringify(String(text));

/** `failure`, `refused` (the client's error), `success`, or `unanswered`: the client left first. */
export function outcome(labels) {
  const code = Number(labels.response_code);
  if (!(code > 0)) return "unanswered";
  if (labels.request_protocol === "grpc" && code === 200) {
    const status = labels.grpc_response_status;
    return status === "0" ? "success" : !status || GRPC_FAILURES.has(status) ? "failure" : "refused";
  }
  return code >= 500 ? "failure" : code >= 400 ? "refused" : "success";
}

/** Sums of one group by who reported them, and whose is believed. */
export class Reports {
  #by = new Map();

  add(labels, value) {
    const reporter = labels.reporter ?? "";
    const sums = this.#by.get(reporter) ?? { rate: 0, failure: 0, refused: 0, success: 0, unanswered: 0, codes: new Map(), protocol: "" };
    sums.rate += value;
    sums[outcome(labels)] += value;
    sums.protocol = labels.request_protocol ?? sums.protocol;
    const isGRPC = labels.request_protocol === "grpc" && labels.grpc_response_status;
    const code = isGRPC ? `grpc ${labels.grpc_response_status}` : labels.response_code || "0";
    sums.codes.set(code, (sums.codes.get(code) ?? 0) + value);
    this.#by.set(reporter, sums);
  }

  get reporter() {
    const source = this.#by.get("source")?.rate ?? 0;
    const destination = this.#by.get("destination")?.rate ?? 0;
    if (source > 0 && destination <= source * TOLERANCE) return "source";
    return destination > 0 ? "destination" : [...this.#by.keys()][0] ?? "";
  }

  get believed() {
    const sums = this.#by.get(this.reporter);
    const answered = sums.success + sums.refused + sums.failure;
    return { ...sums, success: answered > 0 ? (answered - sums.failure) / answered : NaN };
  }
}

/** Puts values of series into rows: `rows` by key, `key(labels)`. The reporter that a row believes counts. */
function give(rows, series, key, name) {
  for (const { labels, value } of series) {
    const row = rows.get(key(labels));
    if (row && (!labels.reporter || labels.reporter === row.reporter) && Number.isFinite(value)) row[name] = value;
  }
}

/** `[{service, name, namespace, reporter, rate, success, codes, protocol, p50, p95, p99, secure, ejected, spark}]` of the last `window`. */
export async function services(window, signal) {
  const by = "destination_service,destination_service_name,destination_service_namespace,reporter";
  const now = Math.floor(Date.now() / 1000 / SPARK_STEP) * SPARK_STEP;
  const ask = (text) => query(text, signal);
  const [requests, p50, p95, p99, security, unhealthy, spark] = await Promise.all([
    ask(`sum by (${by},${OUTCOME}) (rate(istio_requests_total[${window}])) > 0`),
    ...[0.5, 0.95, 0.99].map((share) => ask(quantile(share, "destination_service,reporter", "", window))),
    ask(`sum by (destination_service,connection_security_policy) (rate(istio_requests_total{reporter="destination"}[${window}])) > 0`),
    ask("min by (cluster,endpoint) (skein_endpoint_healthy) == 0"),
    sparks(now, signal),
  ]);
  const key = (labels) => labels.destination_service ?? "";
  const groups = new Map();
  for (const { labels, value } of requests) {
    if (!groups.has(key(labels))) groups.set(key(labels), { labels, reports: new Reports() });
    groups.get(key(labels)).reports.add(labels, value);
  }
  const rows = new Map([...groups].map(([service, { labels, reports }]) => [service, {
    service, name: labels.destination_service_name ?? "", namespace: labels.destination_service_namespace ?? "", reporter: reports.reporter,
    ...reports.believed, ejected: [], secure: NaN, spark: [],
  }]));
  [["p50", p50], ["p95", p95], ["p99", p99]].forEach(([name, series]) => give(rows, series, key, name));
  for (const [service, share] of secureShares(security, key)) if (rows.has(service)) rows.get(service).secure = share;
  for (const { labels } of unhealthy) {
    const service = serviceOf(labels.cluster);
    if (service && rows.has(service)) rows.get(service).ejected.push(labels.endpoint);
  }
  for (const { labels, points } of spark) {
    const row = rows.get(key(labels));
    if (row && labels.reporter === row.reporter) row.spark = points;
  }
  return [...rows.values()];
}

let known = { time: 0, series: [] };

/** The lines of the last half hour, which gain a point a minute and are asked for as often. */
async function sparks(time, signal) {
  if (known.time !== time) {
    const text = "sum by (destination_service,reporter) (rate(istio_requests_total[2m]))";
    known = { series: await queryRange(text, time - SPARK_SECONDS, time, SPARK_STEP, signal), time };
  }
  return known.series;
}

/** `service → {rate, success, p95}` of a window that ends at `time`, seconds since 1970; without one, now. p95 in milliseconds. */
export async function figures(window, time, signal) {
  const [requests, p95] = await Promise.all([
    query(`sum by (destination_service,reporter,${OUTCOME}) (rate(istio_requests_total[${window}])) > 0`, signal, time),
    query(quantile(0.95, "destination_service,reporter", "", window), signal, time),
  ]);
  const key = (labels) => labels.destination_service ?? "";
  const groups = new Map();
  for (const { labels, value } of requests) {
    if (!groups.has(key(labels))) groups.set(key(labels), new Reports());
    groups.get(key(labels)).add(labels, value);
  }
  const rows = new Map([...groups].map(([service, reports]) =>
    [service, { reporter: reports.reporter, p95: NaN, ...reports.believed }]));
  give(rows, p95, key, "p95");
  return rows;
}

/** The share of requests over mutual TLS by group, as those report it who took them. */
export function secureShares(series, key) {
  const sums = new Map();
  for (const { labels, value } of series) {
    const sum = sums.get(key(labels)) ?? { secure: 0, known: 0 };
    if (labels.connection_security_policy === "mutual_tls") sum.secure += value;
    if (labels.connection_security_policy !== "unknown") sum.known += value;
    sums.set(key(labels), sum);
  }
  return new Map([...sums].map(([name, { secure, known }]) => [name, known > 0 ? secure / known : NaN]));
}

/** The host of a cluster `outbound|PORT|SUBSET|HOST`; null for others. */
export function serviceOf(cluster) {
  const parts = String(cluster ?? "").split("|");
  return parts.length === 4 && parts[0] === "outbound" ? parts[3] : null;
}

/**
 * Who calls whom: `[{from, to, service, rate, success, p95, secure}]`; ends are `NAME.NAMESPACE`, as spans name services. What a caller
 * reports counts; where only the called one has seen it, its report does.
 */
export async function edges(window, signal) {
  const by = "source_canonical_service,source_workload_namespace,destination_service,destination_service_name,"
    + "destination_service_namespace,reporter";
  const [requests, p95, security] = await Promise.all([
    query(`sum by (${by},${OUTCOME}) (rate(istio_requests_total[${window}])) > 0`, signal),
    query(quantile(0.95, by, "", window), signal),
    query(`sum by (${by},connection_security_policy) (rate(istio_requests_total{reporter="destination"}[${window}])) > 0`, signal),
  ]);
  const to = (labels) => `${labels.destination_service_name}.${labels.destination_service_namespace}`;
  const from = (labels) => (isNamed(labels.source_canonical_service)
    ? `${labels.source_canonical_service}.${labels.source_workload_namespace}` : "");
  const key = (labels) => `${from(labels)} ${to(labels)}`;
  const groups = new Map();
  for (const { labels, value } of requests) {
    if (!groups.has(key(labels))) groups.set(key(labels), { labels, reports: new Reports() });
    groups.get(key(labels)).reports.add(labels, value);
  }
  const seenByCallers = new Map();
  for (const { labels, reports } of groups.values()) {
    if (reports.reporter === "source") seenByCallers.set(to(labels), (seenByCallers.get(to(labels)) ?? 0) + reports.believed.rate);
  }
  const rows = new Map();
  for (const [id, { labels, reports }] of groups) {
    const sums = reports.believed;
    // What an unknown caller sent according to the called one is mostly what callers have reported under their names.
    if (!from(labels) && reports.reporter === "destination" && sums.rate <= (seenByCallers.get(to(labels)) ?? 0) * TOLERANCE) continue;
    rows.set(id, {
      from: from(labels) || UNKNOWN, to: to(labels), service: labels.destination_service, reporter: reports.reporter, ...sums,
      secure: NaN,
    });
  }
  give(rows, p95, key, "p95");
  const byService = secureShares(security, to);
  const byEdge = secureShares(security.filter(({ labels }) => from(labels)), key);
  for (const [id, row] of rows) row.secure = byEdge.get(id) ?? byService.get(row.to) ?? NaN;
  return [...rows.values()];
}

/** Callers that neither have a proxy nor have shown who they are. */
export const UNKNOWN = "unknown";

const isNamed = (name) => Boolean(name) && name !== "unknown";
