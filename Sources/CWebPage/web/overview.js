// The services of the mesh, those first with which something is wrong.

import { get, json } from "./api.js";
import { foreign, h, menu, plain, replace, s } from "./dom.js";
import { count, counted, duration, number, percent, span } from "./format.js";
import { health, KINDS, SIGNS } from "./health.js";
import { go, hash } from "./location.js";
import { services, WINDOWS } from "./mesh.js";
import { repeat } from "./notice.js";
import { sparkline } from "./chart.js";
import { table } from "./table.js";

const REFRESH_SECONDS = 10;

export const title = () => "Overview";

export function mount(main, item, first) {
  let parameters = first;
  const during = menu({}, WINDOWS, parameters.window ?? "1m");
  during.addEventListener("change", () => go(hash("overview", "", { ...parameters, window: during.value === "1m" ? "" : during.value })));
  const summary = h("span", { class: "soft", role: "status" }, "…");
  const facts = h("div", { class: "facts" });
  const list = table({
    label: "Services", columns: COLUMNS, sort: parameters.sort ?? "-health",
    empty: "No proxy has counted a request in this time. What spans alone tell is in Graph and Traces.",
    onsort: (sort) => go(hash("overview", "", { ...parameters, sort }), { replacing: true }),
  });
  main.append(
    h("div", { class: "head" }, h("h1", {}, "Overview"), summary, h("label", { class: "end check" }, "of the last", during)), facts,
    h("section", { class: "card", "aria-label": "Services" }, list.element));

  async function load(signal) {
    const [rows] = await Promise.all([services(parameters.window ?? "1m", signal), drawFacts(facts, signal)]);
    for (const row of rows) row.health = health(row.codes);
    const wrong = rows.filter((row) => row.health.level > 0 || row.ejected.length > 0).length;
    replace(summary, `${counted(rows.length, "service")}, ${wrong ? `${count(wrong)} with something wrong` : "nothing wrong with any"}`);
    list.draw(rows);
  }

  const refresh = repeat(load, REFRESH_SECONDS);
  return {
    update(_, next) {
      const isSame = next.window === parameters.window;
      parameters = next;
      during.value = parameters.window ?? "1m";
      if (!isSame) refresh.now();
    },
    unmount: refresh,
  };
}

/** How this process and its store are. */
async function drawFacts(place, signal) {
  const [status, store] = await Promise.all([
    json("skein/status", {}, signal), get("health", {}, signal).then(() => null, (error) => error),
  ]);
  const { configuration } = status;
  const wrong = [...configuration.last_error.map((line) => ["configuration refused", line]),
    ...configuration.not_enforced.map((line) => ["not enforced", line])];
  if (store && store.name !== "AbortError") wrong.push(["store", store.message]);
  replace(place,
    h("span", {}, h("span", { class: "soft" }, "Skein "), plain(status.version, 40)),
    h("span", {}, h("span", { class: "soft" }, "up "), span(parseInt(status.uptime_current_epoch, 10) * 1000)),
    h("span", {}, h("span", { class: "soft" }, "configuration "),
      h("a", { href: hash("config") }, `generation ${configuration.generation}`)),
    wrong.map(([what, text]) => h("p", { class: "wrong" }, h("span", { class: "bad" }, what), " ", foreign(text, 400))));
}

const millis = (value) => (Number.isFinite(value) ? duration(value * 1000) : "–");

/** More than a look can tell from a colour: what is wrong, the worst first. */
const wrongness = (row) => row.health.level * 1e6 + row.ejected.length * 1e3 + (Number.isFinite(row.success) ? 1 - row.success : 0);

const COLUMNS = [
  { id: "health", title: "Health", down: true, value: wrongness, cell: (row) =>
    h("span", { class: `tag ${KINDS[row.health.level]}`, title: row.health.rule }, `${SIGNS[row.health.level]} ${row.health.word}`) },
  { id: "service", title: "Service", value: (row) => row.service, class: "root", cell: (row) => [
    h("a", { href: hash("service", row.service) }, h("b", {}, foreign(row.name || row.service, 60))), " ",
    h("span", { class: "soft" }, foreign(row.namespace, 40)),
    row.health.level > 0 && h("div", { class: "note" }, row.health.rule),
    row.ejected.length > 0 && h("div", { class: "note" }, h("span", { class: "tag warn" }, `${row.ejected.length} out of use`), " ",
      foreign(row.ejected.join(", "), 80))] },
  { id: "mtls", title: "mTLS", wide: true, value: (row) => row.secure, cell: (row) => lock(row.secure) },
  { id: "success", title: "Success", num: true, value: (row) => row.success, cell: (row) => percent(row.success) },
  { id: "rate", title: "Requests/s", num: true, down: true, value: (row) => row.rate, cell: (row) => number(row.rate) },
  { id: "p50", title: "p50", num: true, down: true, wide: true, value: (row) => row.p50, cell: (row) => millis(row.p50) },
  { id: "p95", title: "p95", num: true, down: true, value: (row) => row.p95, cell: (row) => millis(row.p95) },
  { id: "p99", title: "p99", num: true, down: true, wide: true, value: (row) => row.p99, cell: (row) => millis(row.p99) },
  { id: "spark", title: "Last 30 minutes", wide: true, cell: (row) => sparkline(row.spark, "requests a second in the last 30 minutes") },
];

/** The share over mutual TLS, as a lock that is shut or open. */
export function lock(share) {
  if (!Number.isFinite(share)) return h("span", { class: "soft", title: "Nobody who takes its requests has said" }, "not known");
  if (share >= 1) return h("span", { class: "tag good" }, padlock("M4 6V4a3 3 0 0 1 6 0v2"), " all");
  return h("span", { class: "tag warn" }, padlock("M4 6V4a3 3 0 0 1 6 -1"), share > 0 ? ` ${percent(share)}` : " plaintext");
}

const padlock = (shackle) => s("svg", { class: "lock", width: 14, height: 14, viewBox: "0 0 14 14", "aria-hidden": "true" },
  s("rect", { x: 2.5, y: 6, width: 9, height: 7, rx: 1.5 }), s("path", { d: shackle }));
