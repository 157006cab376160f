// What this process knows of a service's routes, subsets and endpoints: shares wanted and measured, load, and what is out of use and why.

import { json, query } from "./api.js";
import { foreign, h, plain, replace } from "./dom.js";
import { clock, count, duration, number, percent, span } from "./format.js";
import { quoted } from "./mesh.js";
import { retryTable, subset, UNLIMITED } from "./retries.js";
import { table } from "./table.js";

const WINDOW = "5m";
const DECISIONS_MAX = 20;

/** `{element, load(signal)}` of a service's host. */
export function clusterParts(service) {
  const routes = table({ label: "Routes", columns: ROUTES, empty: "This process has no rule that leads to it." });
  const endpoints = table({ label: "Endpoints", columns: ENDPOINTS, sort: "address", empty: "This process sends nothing to it." });
  const limits = table({ label: "Limits", columns: LIMITS, empty: "This process sends nothing to it." });
  const tried = retryTable();
  const judged = h("div", {});
  const element = h("div", {},
    h("section", { class: "card", "aria-label": "Routes" }, h("h2", {}, "Routes and subsets"), routes.element),
    h("section", { class: "card", "aria-label": "Endpoints" }, h("h2", {}, "Endpoints, as this process sees them"), endpoints.element,
      h("h3", {}, "Ejections of the whole mesh"), judged),
    h("section", { class: "card", "aria-label": "Retries" }, h("h2", {}, "Retries and their budgets, of this process"), tried.element),
    h("section", { class: "card", "aria-label": "Limits" }, h("h2", {}, "Limits, of this process"), limits.element));

  async function load(signal) {
    const pattern = quoted(`outbound[|].*[|]${service.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`);
    const [rules, clusters, outliers, byRoute, byEndpoint, slow, retries] = await Promise.all([
      json("skein/routes", {}, signal), json("skein/clusters", {}, signal),
      json("skein/outliers", { cluster: service }, signal).catch(() => ({ decisions: [], ejections: [] })),
      query(`sum by (route,cluster,outcome) (rate(skein_route_requests_total{cluster=~${pattern}}[${WINDOW}]))`, signal),
      query(`sum by (endpoint,cluster,outcome) (rate(skein_endpoint_requests_total{cluster=~${pattern}}[${WINDOW}]))`, signal),
      query(`histogram_quantile(0.95, sum by (endpoint,cluster,le) `
        + `(rate(skein_endpoint_request_duration_milliseconds_bucket{cluster=~${pattern}}[${WINDOW}])))`, signal),
      query(`sum by (cluster) (rate(skein_route_retries_total{cluster=~${pattern}}[${WINDOW}]))`, signal),
    ]);
    routes.draw(routeRows(rules.routes, byRoute, service));
    endpoints.draw(endpointRows(clusters.cluster_statuses, byEndpoint, slow, service));
    const mine = clusters.cluster_statuses.filter((cluster) => cluster.name.endsWith(`|${service}`));
    tried.draw(mine, rules.routes, retries);
    limits.draw(mine.map(limitRow));
    replace(judged, decisions(outliers.decisions));
  }

  return { element, load };
}

/** One row for each destination of a rule: the weight it was given and the share it had. */
function routeRows(routes, measured, service) {
  const rate = (name, cluster) => measured.filter(({ labels }) => labels.route === name && labels.cluster === cluster)
    .reduce((sum, { value }) => sum + value, 0);
  return routes.filter((route) => route.targets.some((target) => target.includes(`|${service}`))).flatMap((route) => {
    const targets = route.targets.map((text) => {
      const [, cluster, weight] = /^(\S+)(?: weight (\d+))?/.exec(text) ?? [null, text, null];
      return { cluster, weight: weight === null ? NaN : Number(weight), rate: rate(route.name, cluster) };
    });
    const wanted = targets.reduce((sum, one) => sum + (one.weight || 0), 0);
    const whole = targets.reduce((sum, one) => sum + one.rate, 0);
    return targets.map((one) => ({
      route, ...one, wanted: targets.length === 1 ? 1 : wanted > 0 ? one.weight / wanted : NaN, share: whole > 0 ? one.rate / whole : NaN,
    }));
  });
}

function endpointRows(clusters, measured, slow, service) {
  return clusters.filter((cluster) => cluster.name.endsWith(`|${service}`)).flatMap((cluster) => cluster.host_statuses.map((host) => {
    const place = host.address.socket_address;
    const name = place?.address.includes(":") ? `[${place.address}]` : place?.address;
    const address = place ? `${name}:${place.port_value}` : host.address.pipe?.path;
    const mine = measured.filter(({ labels }) => labels.endpoint === address && labels.cluster === cluster.name);
    const sum = (list) => list.reduce((total, { value }) => total + value, 0);
    const answered = mine.filter(({ labels }) => labels.outcome !== "unanswered");
    return {
      cluster: cluster.name, address, host, rate: sum(mine), active: Number(host.stats.find((one) => one.name === "rq_active")?.value ?? 0),
      success: sum(answered) > 0 ? 1 - sum(answered.filter(({ labels }) => labels.outcome === "failure")) / sum(answered) : NaN,
      p95: slow.find(({ labels }) => labels.endpoint === address && labels.cluster === cluster.name)?.value ?? NaN,
    };
  }));
}

const KINDS = [["max_connections", "connections"], ["max_pending_requests", "waiting for one"], ["max_requests", "requests"]];

function limitRow(cluster) {
  const [limits] = cluster.circuit_breakers.thresholds;
  return {
    cluster: cluster.name, refused: KINDS.reduce((sum, [key]) => sum + limits[`${key}_overflow`], 0),
    limits: KINDS.map(([key, name]) => ({ name, limit: limits[key], held: limits[`${key}_held`] })),
  };
}

function state(host) {
  const parts = [];
  if (host.ejected_for_ms !== undefined) parts.push(["warn", `ejected here for ${span(host.ejected_for_ms)}`]);
  if (host.mesh_ejected_for_ms !== undefined) parts.push(["warn", `ejected mesh-wide for ${span(host.mesh_ejected_for_ms)}`]);
  if (host.health_status.failed_active_health_check) parts.push(["bad", "fails its health check"]);
  if (!parts.length) return h("span", { class: "tag good" }, "in use");
  return parts.map(([kind, text]) => [h("span", { class: `tag ${kind}` }, text), " "]);
}

const ROUTES = [
  { id: "route", title: "Rule", class: "root", value: (row) => row.route.name, cell: ({ route }) => [h("b", {}, foreign(route.name, 60)),
    h("div", { class: "note" }, foreign(route.resource ? `${route.resource} ${route.position}` : "no rule was written", 160))] },
  { id: "when", title: "When", wide: true, cell: (row) => foreign(row.route.matches.join(" or ") || "every request", 160) },
  { id: "to", title: "Port, subset", cell: (row) => foreign(subset(row.cluster), 60) },
  { id: "wanted", title: "Wanted", num: true, cell: (row) => percent(row.wanted) },
  { id: "share", title: "Measured", num: true, cell: (row) => percent(row.share) },
  { id: "rate", title: "Requests/s", num: true, cell: (row) => number(row.rate) },
];

const ENDPOINTS = [
  { id: "address", title: "Endpoint", value: (row) => row.address, cell: (row) => h("span", { class: "mono" }, plain(row.address, 80)) },
  { id: "subset", title: "Port, subset", value: (row) => subset(row.cluster), wide: true, cell: (row) => foreign(subset(row.cluster), 60) },
  { id: "state", title: "State", cell: (row) => state(row.host) },
  { id: "rate", title: "Requests/s", num: true, value: (row) => row.rate, cell: (row) => number(row.rate) },
  { id: "success", title: "Success", num: true, value: (row) => row.success, cell: (row) => percent(row.success) },
  { id: "p95", title: "p95", num: true, value: (row) => row.p95, cell: (row) =>
    (Number.isFinite(row.p95) ? duration(row.p95 * 1000) : "–") },
  { id: "active", title: "Now", num: true, wide: true, value: (row) => row.active, cell: (row) => count(row.active) },
  { id: "last", title: "Last error", wide: true, cell: (row) => (row.host.last_error
    ? [foreign(row.host.last_error, 120), " ", h("span", { class: "soft" }, clock(row.host.last_error_unix_seconds * 1000))] : "") },
];

const LIMITS = [
  { id: "subset", title: "Port, subset", cell: (row) => foreign(subset(row.cluster), 60) },
  ...KINDS.map(([, name], index) => ({ id: name, title: name, num: true, cell: ({ limits }) => {
    const { limit, held } = limits[index];
    return [h("span", { class: held >= limit ? "bad" : null }, count(held)), h("span", { class: "soft" },
      limit >= UNLIMITED ? " of any" : ` of ${count(limit)}`)];
  } })),
  { id: "refused", title: "Refused", num: true, cell: (row) => h("span", { class: row.refused > 0 ? "bad" : "soft" }, count(row.refused)) },
];

/** What the judge of outliers decided, with its arithmetic. */
function decisions(list) {
  if (!list.length) return h("p", { class: "note" }, "No endpoint of it was ejected mesh-wide within the last hour.");
  return h("ul", { class: "decisions" }, [...list].reverse().slice(0, DECISIONS_MAX).map((one) => h("li", {},
    h("time", {}, clock(one.atUnixMilliseconds)), " ", h("b", {}, foreign(one.endpoint, 60)), " ",
    h("span", { class: `tag ${one.outcome === "ejected" ? "warn" : ""}` }, plain(one.outcome, 40)), " ",
    foreign(one.text ?? one.cause ?? "", 400))));
}
