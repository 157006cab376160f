// What the last load of a configuration did to the numbers: each service in the minutes before it and since. All proxies that this store
// knows of count, so that a collector's page tells of the mesh.

import { query } from "./api.js";
import { foreign, h, replace } from "./dom.js";
import { clock, count, duration, number, percent, span } from "./format.js";
import { hash } from "./location.js";
import { figures } from "./mesh.js";
import { table } from "./table.js";

/** So much before and behind a load is looked at, seconds; what is nearer than the shortest cannot be told from what was before. */
const WINDOW_MAX = 300;
const WINDOW_MIN = 5;
/** Proxies take one change of files within this of each other, seconds. */
const TOGETHER = 30;

export function lastLoad() {
  const said = h("span", { class: "soft", role: "status" });
  const list = table({
    label: "Before and since the last load", columns: COLUMNS, sort: "-change",
    empty: "No service was asked for anything before the load and since.",
  });
  const element = h("section", { class: "card", "aria-label": "What the last load did" },
    h("div", { class: "head" }, h("h2", {}, "What the last load did to the numbers"), said), list.element);
  element.hidden = true;

  async function load(signal) {
    const times = await query("skein_config_last_reload_success_timestamp_seconds > 0", signal).catch(() => []);
    const at = Math.max(0, ...times.map(({ value }) => value));
    const since = Date.now() / 1000 - at;
    element.hidden = !(at > 0);
    if (!(at > 0)) return;
    const proxies = times.filter(({ value }) => value > at - TOGETHER).length;
    const after = Math.floor(Math.min(Math.max(since, WINDOW_MIN), WINDOW_MAX));
    const who = `${count(proxies)} ${proxies === 1 ? "process" : "processes"}`;
    replace(said, `${clock(at * 1000)}, ${span(since * 1000)} ago, by ${who}: ${after} s since beside ${WINDOW_MAX} s before`);
    const [before, now] = await Promise.all([figures(`${WINDOW_MAX}s`, at, signal), figures(`${after}s`, undefined, signal)]);
    list.draw([...new Set([...before.keys(), ...now.keys()])].map((service) => ({
      service, before: before.get(service) ?? NOTHING, now: now.get(service) ?? NOTHING,
    })));
  }

  return { element, load };
}

const NOTHING = { rate: 0, success: NaN, p95: NaN };

/** How much worse or better a service is, for sorting: success first, then latency and rate by their ratio. */
function change({ before, now }) {
  const ratio = (one, other) => (one > 0 && other > 0 ? Math.abs(Math.log(one / other)) : one > 0 || other > 0 ? 1 : 0);
  const success = Number.isFinite(before.success) && Number.isFinite(now.success) ? Math.abs(before.success - now.success) : 0;
  return success * 1000 + ratio(before.p95, now.p95) + ratio(before.rate, now.rate) / 10;
}

const pair = (show, name, isWorse) => ({ before, now }) => [
  h("span", { class: "soft" }, show(before[name])), " → ",
  h("b", { class: isWorse(before[name], now[name]) ? "bad" : "" }, show(now[name]))];
const millis = (value) => (Number.isFinite(value) ? duration(value * 1000) : "–");

const COLUMNS = [
  { id: "service", title: "Service", class: "root", value: (row) => row.service, cell: (row) =>
    h("a", { href: hash("service", row.service) }, foreign(row.service, 80)) },
  { id: "success", title: "Success", num: true, value: (row) => row.now.success,
    cell: pair(percent, "success", (before, now) => now < before - 0.005) },
  { id: "p95", title: "p95", num: true, down: true, value: (row) => row.now.p95,
    cell: pair(millis, "p95", (before, now) => now > before * 1.5) },
  { id: "rate", title: "Requests/s", num: true, down: true, value: (row) => row.now.rate, cell: pair(number, "rate", () => false) },
  { id: "change", title: "Change", wide: true, num: true, down: true, value: change, cell: (row) => {
    const points = (row.now.success - row.before.success) * 100;
    return Math.abs(points) >= 0.05 ? `${points > 0 ? "+" : "−"}${Math.abs(points).toFixed(1)} points` : "–";
  } },
];
