// One service: requests, errors and durations over time, its routes, its endpoints and why one is out of use, and who calls it.

import { exemplars, queryRange } from "./api.js";
import { foreign, h, menu, plain, replace } from "./dom.js";
import { chart } from "./chart.js";
import { duration, millis, number, percent } from "./format.js";
import { go, hash } from "./location.js";
import { edges, quoted } from "./mesh.js";
import { repeat } from "./notice.js";
import { servicePolicies } from "./policies.js";
import { clusterParts } from "./clusters.js";
import { status } from "./traces.js";
import { table } from "./table.js";

const REFRESH_SECONDS = 15;
const RANGES = [["15m", "15 minutes"], ["1h", "1 hour"], ["6h", "6 hours"], ["1d", "1 day"], ["7d", "7 days"]];
const DEFAULT_RANGE = "15m";
/** Points of a line, about. */
const POINTS = 120;
const STEP_MIN = 10;
const CALLERS_WINDOW = "5m";

export const title = (service) => plain(service, 80);

export function mount(main, service, first) {
  let parameters = first;
  const range = menu({}, RANGES, parameters.range ?? DEFAULT_RANGE);
  range.addEventListener("change", () =>
    go(hash("service", service, { ...parameters, range: range.value === DEFAULT_RANGE ? "" : range.value })));
  const charts = {
    rate: chart({ label: "Requests a second, by answer" }),
    success: chart({ label: "Share that is no error of the server", format: percent, isShare: true }),
    time: chart({ label: "Duration; dots are single requests", format: (value) => duration(value * 1000) }),
  };
  const source = h("span", { class: "soft", role: "status" }, "…");
  const callers = table({ label: "Callers", columns: CALLERS, sort: "-rate", empty: "No caller has been counted in the last 5 minutes." });
  const parts = clusterParts(service);
  const policies = servicePolicies(service);
  const spanName = service.split(".").slice(0, 2).join(".");
  main.append(
    h("div", { class: "head" }, h("h1", {}, foreign(service, 120)), source,
      h("a", { class: "end", href: hash("traces", "", { service: spanName }) }, "Its traces"),
      h("a", { href: hash("logs", "", { cluster: service }) }, "Its log lines"),
      h("a", { href: hash("config", "", { url: `http://${service}/`, find: service }) }, "Its rules and policies"),
      h("label", { class: "check" }, "of the last", range)),
    h("div", { class: "charts" }, Object.values(charts).map((one) => h("section", { class: "card" }, one.element))),
    h("section", { class: "card", "aria-label": "Callers" }, h("h2", {}, "Who calls it"), callers.element),
    parts.element, policies.element);

  async function load(signal) {
    const length = millis(range.value) / 1000;
    const step = Math.max(STEP_MIN, Math.ceil(length / POINTS));
    const to = Math.floor(Date.now() / 1000);
    await Promise.all([
      drawCharts(charts, source, service, { from: to - length, to, step }, signal),
      edges(CALLERS_WINDOW, signal).then((all) => callers.draw(all.filter((edge) => edge.service === service))),
      parts.load(signal), policies.load(signal),
    ]);
  }

  const refresh = repeat(load, REFRESH_SECONDS);
  return {
    update(_, next) {
      parameters = next;
      range.value = parameters.range ?? DEFAULT_RANGE;
      refresh.now();
    },
    unmount() {
      refresh();
      for (const one of Object.values(charts)) one.end();
    },
  };
}

async function drawCharts(charts, source, service, { from, to, step }, signal) {
  const window = `${Math.max(60, step * 2)}s`;
  const of = (reporter, more = "") => `{destination_service=${quoted(service)},reporter="${reporter}"${more}}`;
  const ask = (text) => queryRange(text, from, to, step, signal);
  // The callers' own count where there is one: it has also what reached nobody.
  const seen = await ask(`sum by (reporter) (rate(istio_requests_total{destination_service=${quoted(service)}}[${window}]))`);
  const most = (name) => Math.max(0, ...(seen.find((one) => one.labels.reporter === name)?.points ?? []).map(([, value]) => value));
  const reporter = most("source") > 0 && most("destination") <= most("source") * 1.1 ? "source" : "destination";
  replace(source, seen.length ? `as its ${reporter === "source" ? "callers count" : "own proxy counts"}` : "nothing has been counted yet");
  const all = `sum(rate(istio_requests_total${of(reporter, ',response_code!="0"')}[${window}]))`;
  const [rate, success, p50, p95, p99, dots] = await Promise.all([
    ask(`sum by (response_code) (rate(istio_requests_total${of(reporter)}[${window}]))`),
    ask(`1 - (sum(rate(istio_requests_total${of(reporter, ',response_code=~"5.."')}[${window}])) or 0 * ${all}) / ${all}`),
    ...[0.5, 0.95, 0.99].map((share) =>
      ask(`histogram_quantile(${share}, sum by (le) (rate(istio_request_duration_milliseconds_bucket${of(reporter)}[${window}])))`)),
    exemplars(`istio_request_duration_milliseconds_bucket${of(reporter)}`, from, to, signal).catch(() => []),
  ]);
  const name = (one) => ({ ...one, name: one.labels.response_code === "0" ? "no answer" : one.labels.response_code ?? "all" });
  charts.rate.draw({ from, to, series: rate.map(name).sort((a, b) => a.name.localeCompare(b.name)) });
  charts.success.draw({ from, to, series: success.map((one) => ({ ...one, name: "success" })) });
  const lines = [["p50", p50], ["p95", p95], ["p99", p99]].flatMap(([word, list]) => list.map((one) => ({ ...one, name: word })));
  charts.time.draw({ from, to, series: lines, dots });
}

const CALLERS = [
  { id: "from", title: "Caller", class: "root", value: (edge) => edge.from, cell: (edge) => foreign(edge.from, 80) },
  { id: "rate", title: "Requests/s", num: true, down: true, value: (edge) => edge.rate, cell: (edge) => number(edge.rate) },
  { id: "success", title: "Success", num: true, value: (edge) => edge.success, cell: (edge) => percent(edge.success) },
  { id: "p95", title: "p95", num: true, down: true, value: (edge) => edge.p95, cell: (edge) =>
    (Number.isFinite(edge.p95) ? duration(edge.p95 * 1000) : "–") },
  { id: "codes", title: "Answers", wide: true, cell: (edge) => h("span", { class: "chips" }, [...edge.codes].sort().map(([code, rate]) =>
    h("span", {}, status(code), " ", h("span", { class: "soft" }, number(rate))))) },
];
