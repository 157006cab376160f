// A service's retries: what rules want, how many there are, how many its clusters allow at once, and how often that was not enough.

import { foreign, h, plain } from "./dom.js";
import { count, number } from "./format.js";
import { table } from "./table.js";

// Envoy's word for no limit.
export const UNLIMITED = 4294967295;

/** `{element, draw(clusters, routes, rates)}`: as `/skein/clusters` and `/skein/routes` say, and retries a second of each cluster. */
export function retryTable() {
  const list = table({ label: "Retries", columns: COLUMNS, empty: "This process sends nothing to it." });
  return {
    element: list.element,
    draw(clusters, routes, rates) {
      list.draw(clusters.map((cluster) => {
        const [limits] = cluster.circuit_breakers.thresholds;
        return {
          cluster: cluster.name, wanted: wanted(routes, cluster.name), budget: limits.retry_budget,
          rate: rates.find(({ labels }) => labels.cluster === cluster.name)?.value ?? 0, held: limits.max_retries_held,
          limit: limits.retry_budget?.limit ?? limits.max_retries, refused: limits.max_retries_overflow,
        };
      }));
    },
  };
}

/** What the rules that lead to a cluster want, each once with the rules that want it. */
function wanted(routes, cluster) {
  const found = new Map();
  for (const route of routes.filter((one) => one.targets.some((target) => target.split(" ")[0] === cluster))) {
    const { attempts, on, per_try_timeout_ms: each } = route.retries;
    const text = attempts ? `${count(attempts)} on ${on}${each ? `, ${count(each)} ms each` : ""}` : "none";
    found.set(text, (found.get(text) ?? new Set()).add(route.name));
  }
  return [...found].map(([text, names]) => ({ text, names: [...names] }));
}

function budget({ budget: share, limit }) {
  if (!share) return limit >= UNLIMITED ? "any number" : `maxRetries ${count(limit)}`;
  const of = share.interval_ms ? `requests in ${number(share.interval_ms / 1000)} s` : "requests in flight";
  return `${number(share.budget_percent.value)} % of ${of}, at least ${count(share.min_retry_concurrency)}`;
}

/** `v1` of `outbound|9080|v1|HOST`, and the port. */
export function subset(cluster) {
  const [, port, name] = cluster.split("|");
  return `${port ?? ""}${name ? ` ${name}` : ""}`;
}

const COLUMNS = [
  { id: "subset", title: "Port, subset", cell: (row) => foreign(subset(row.cluster), 60) },
  { id: "wanted", title: "Wanted", class: "root", cell: (row) => (row.wanted.length ? row.wanted.map(({ text, names }) =>
    h("div", { title: names.map((name) => plain(name, 80)).join("\n") }, foreign(text, 160))) : "no rule leads here") },
  { id: "rate", title: "Retries/s", num: true, cell: (row) => number(row.rate) },
  { id: "budget", title: "Budget", wide: true, cell: budget },
  { id: "now", title: "Used now", num: true, cell: (row) => [
    h("span", { class: row.held >= row.limit ? "bad" : null }, count(row.held)),
    h("span", { class: "soft" }, row.limit >= UNLIMITED ? " of any" : ` of ${count(row.limit)}`)] },
  { id: "refused", title: "Exhausted", num: true, cell: (row) =>
    h("span", { class: row.refused > 0 ? "bad" : "soft", title: "retries that the budget refused since the process began" },
      count(row.refused)) },
];
