// Who calls whom: the mesh as a graph, and a table that says the same.

import { json } from "./api.js";
import { foreign, h, menu, plain, replace, s } from "./dom.js";
import { count, counted, duration, millis, number, percent } from "./format.js";
import { health, KINDS, SIGNS } from "./health.js";
import { layout } from "./layout.js";
import { go, hash } from "./location.js";
import { edges as readEdges, UNKNOWN, WINDOWS } from "./mesh.js";
import { repeat } from "./notice.js";
import { lock } from "./overview.js";
import { table } from "./table.js";

const REFRESH_SECONDS = 15;
const NODE_WIDTH = 164;
const NODE_HEIGHT = 40;
const MARGIN = 12;
const NAME_MAX = 16;
/** What stands at the edges. */
const SHOWN = [["rate", "requests/s"], ["errors", "errors"], ["p95", "p95"]];

export const title = () => "Graph";

export function mount(main, item, first) {
  let parameters = first;
  let drawn = "";
  const during = menu({}, WINDOWS, parameters.window ?? "1m");
  const shown = menu({}, SHOWN, parameters.show ?? "rate");
  const change = () => go(hash("graph", "", {
    ...parameters, window: during.value === "1m" ? "" : during.value, show: shown.value === "rate" ? "" : shown.value,
  }));
  during.addEventListener("change", change);
  shown.addEventListener("change", change);
  const whole = h("button", { type: "button", "aria-pressed": "false", onclick: () =>
    go(hash("graph", "", { ...parameters, fit: parameters.fit ? "" : "1" }), { replacing: true }) }, "Fit");
  const summary = h("span", { class: "soft", role: "status" }, "…");
  const picture = h("div", { class: "graph", tabindex: 0, role: "region", "aria-label": "Graph; the table below says the same" });
  const list = table({
    label: "Calls", columns: COLUMNS, sort: parameters.sort ?? "-rate", empty: "No call has been counted in this time.",
    onsort: (sort) => go(hash("graph", "", { ...parameters, sort }), { replacing: true }),
  });
  main.append(
    h("div", { class: "head" }, h("h1", {}, "Graph"), summary, h("label", { class: "end check" }, "show", shown),
      h("label", { class: "check" }, "of the last", during), whole),
    h("section", { class: "card", "aria-label": "Picture" }, picture, h("p", { class: "note" },
      "A dashed line: some of it is plaintext. Dotted: known from traces alone. Thicker: more requests.")),
    h("section", { class: "card", "aria-label": "Calls" }, list.element));

  async function load(signal) {
    const now = Date.now();
    const chosen = parameters.window ?? "1m";
    const [measured, links] = await Promise.all([
      readEdges(chosen, signal),
      json("api/v2/dependencies", { endTs: now, lookback: Math.max(millis(chosen), 300000) }, signal),
    ]);
    const all = merged(measured, links);
    const nodes = new Set(all.flatMap(({ from, to }) => [from, to]));
    replace(summary, `${counted(nodes.size, "service")}, ${counted(all.length, "call")}`);
    list.draw(all);
    const key = JSON.stringify([all.map((edge) => [edge.from, edge.to, label(edge, shown.value), edge.secure]), shown.value]);
    if (key === drawn) return;
    drawn = key;
    const isFirst = !picture.firstChild;
    const focused = picture.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    replace(picture, draw([...nodes], all, shown.value));
    if (focused) [...picture.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
    // A picture that is larger than its frame is looked at in the middle of its first layer.
    if (isFirst) picture.scrollTop = (picture.scrollHeight - picture.clientHeight) / 2;
  }

  function fit() {
    picture.classList.toggle("fitted", Boolean(parameters.fit));
    whole.setAttribute("aria-pressed", String(Boolean(parameters.fit)));
  }

  fit();
  const refresh = repeat(load, REFRESH_SECONDS);
  return {
    update(_, next) {
      const isSame = next.window === parameters.window && next.show === parameters.show;
      parameters = next;
      during.value = parameters.window ?? "1m";
      shown.value = parameters.show ?? "rate";
      fit();
      if (!isSame) refresh.now();
    },
    unmount: refresh,
  };
}

/** What is measured, and calls that only traces know of. */
function merged(measured, links) {
  const known = new Set(measured.map(({ from, to }) => `${from}\n${to}`));
  const traced = links.filter(({ parent, child }) => !known.has(`${parent}\n${child}`)).map((link) => ({
    from: link.parent, to: link.child, isTraced: true, rate: NaN, p95: NaN, secure: NaN, codes: new Map(), calls: link.callCount,
    success: link.callCount > 0 ? (link.callCount - (link.errorCount ?? 0)) / link.callCount : NaN,
  }));
  return [...measured, ...traced];
}

function label(edge, kind) {
  if (kind === "errors") return Number.isFinite(edge.success) ? percent(1 - edge.success) : "";
  if (kind === "p95") return Number.isFinite(edge.p95) ? duration(edge.p95 * 1000) : "";
  return edge.isTraced ? `${count(edge.calls)} traced` : number(edge.rate);
}

function draw(nodes, edges, kind) {
  if (!nodes.length) return h("p", { class: "empty" }, "No call has been counted in this time.");
  const plan = layout(nodes, edges);
  const width = plan.width + NODE_WIDTH + MARGIN * 2;
  const height = plan.height + NODE_HEIGHT + MARGIN * 2;
  const bySeverity = new Map(nodes.map((id) => [id, severity(id, edges)]));
  return s("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Services and calls",
  },
  edges.map((edge) => drawEdge(edge, plan, kind)), nodes.map((id) => drawNode(id, plan.nodes.get(id), bySeverity.get(id), edges)));
}

function drawEdge(edge, plan, kind) {
  if (edge.from === edge.to) return null;
  const points = plan.edges.get(`${edge.from}\n${edge.to}`);
  if (!points) return null;
  const isBack = points[0].x > points[points.length - 1].x;
  const ends = points.map(({ x, y }, index) => {
    const isFirst = index === 0;
    const isLast = index === points.length - 1;
    const side = isFirst ? (isBack ? 0 : NODE_WIDTH) : isLast ? (isBack ? NODE_WIDTH : 0) : NODE_WIDTH / 2;
    return [x + side + MARGIN, y + NODE_HEIGHT / 2 + MARGIN + (isBack ? 8 : 0)];
  });
  const path = ends.slice(1).reduce((text, [x, y], index) => {
    const [fromX, fromY] = ends[index];
    const middle = (fromX + x) / 2;
    return `${text}C${middle} ${fromY} ${middle} ${y} ${x} ${y}`;
  }, `M${ends[0][0]} ${ends[0][1]}`);
  const bad = Number.isFinite(edge.success) ? 1 - edge.success : 0;
  const width = Math.min(5, 1.25 + Math.log10(1 + (Number.isFinite(edge.rate) ? edge.rate : 0)));
  const half = Math.floor((ends.length - 1) / 2);
  const [labelX, labelY] = [(ends[half][0] + ends[half + 1][0]) / 2, (ends[half][1] + ends[half + 1][1]) / 2];
  return s("g", { class: `edge ${bad >= 0.1 ? "edge-bad" : bad >= 0.001 ? "edge-warn" : ""}` },
    s("path", { d: path, "stroke-width": width, "stroke-dasharray": edge.isTraced ? "1 4" : edge.secure < 1 ? "7 4" : null },
      s("title", {}, `${plain(edge.from, 80)} calls ${plain(edge.to, 80)}: ${says(edge)}`)),
    s("path", { class: "head", d: arrow(ends[ends.length - 1], isBack) }),
    s("text", { x: labelX, y: labelY - 5, "text-anchor": "middle", class: "edge-label" }, label(edge, kind)));
}

const arrow = ([x, y], isBack) => (isBack ? `M${x} ${y}l7 -4v8z` : `M${x} ${y}l-7 -4v8z`);

const says = (edge) => [edge.isTraced ? `${count(edge.calls)} in traces` : `${number(edge.rate)} requests/s`,
  Number.isFinite(edge.success) && `${percent(edge.success)} success`, Number.isFinite(edge.p95) && `p95 ${duration(edge.p95 * 1000)}`,
  edge.secure < 1 && `${percent(edge.secure)} over mutual TLS`].filter(Boolean).join(", ");

/** What is wrong with a service, by what is asked of it. */
function severity(id, edges) {
  const codes = new Map();
  for (const edge of edges) {
    if (edge.to !== id) continue;
    for (const [code, rate] of edge.codes) codes.set(code, (codes.get(code) ?? 0) + rate);
  }
  return health(codes);
}

function drawNode(id, { x, y }, state, edges) {
  const service = edges.find((edge) => edge.to === id && edge.service)?.service;
  const [name, ...rest] = id.split(".");
  const target = service ? hash("service", service) : hash("traces", "", { service: id });
  const says = `${plain(id, 120)}: ${state.word}${state.level > 0 ? `, ${state.rule}` : ""}`;
  const link = id === UNKNOWN ? ["g", {}] : ["a", { href: target, "aria-label": says }];
  return s(link[0], { ...link[1], class: `node ${KINDS[state.level]}` },
    s("rect", { x: x + MARGIN, y: y + MARGIN, width: NODE_WIDTH, height: NODE_HEIGHT, rx: 7 }), s("title", {}, says),
    s("text", { x: x + MARGIN + 10, y: y + MARGIN + 25, class: "sign" }, SIGNS[state.level]),
    s("text", { x: x + MARGIN + 28, y: y + MARGIN + (rest.length ? 18 : 25), class: "node-name" }, plain(name, NAME_MAX)),
    rest.length > 0 && s("text", { x: x + MARGIN + 28, y: y + MARGIN + 32 }, plain(rest.join("."), NAME_MAX + 4)));
}

function end(id, service) {
  if (id === UNKNOWN) return h("span", { class: "soft" }, "unknown, without a proxy");
  return h("a", { href: service ? hash("service", service) : hash("traces", "", { service: id }) }, foreign(id, 60));
}

const COLUMNS = [
  { id: "from", title: "From", class: "root", value: (edge) => edge.from, cell: (edge) => end(edge.from) },
  { id: "to", title: "To", class: "root", value: (edge) => edge.to, cell: (edge) => end(edge.to, edge.service) },
  { id: "rate", title: "Requests/s", num: true, down: true, value: (edge) => edge.rate, cell: (edge) =>
    (edge.isTraced ? h("span", { class: "soft" }, `${count(edge.calls)} in traces`) : number(edge.rate)) },
  { id: "success", title: "Success", num: true, value: (edge) => edge.success, cell: (edge) => percent(edge.success) },
  { id: "p95", title: "p95", num: true, down: true, value: (edge) => edge.p95, cell: (edge) =>
    (Number.isFinite(edge.p95) ? duration(edge.p95 * 1000) : "–") },
  { id: "mtls", title: "mTLS", wide: true, value: (edge) => edge.secure, cell: (edge) => lock(edge.secure) },
];
