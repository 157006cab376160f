// Traces that fit a search: durations over time, and a table.

import { json } from "./api.js";
import { foreign, h, plain, replace } from "./dom.js";
import { hints } from "./hints.js";
import { clock, count, date, duration, span } from "./format.js";
import { go, hash } from "./location.js";
import { repeat } from "./notice.js";
import { scatter } from "./scatter.js";
import { form, question } from "./search.js";
import { table } from "./table.js";

const REFRESH_SECONDS = 10;

export const title = () => "Traces";

export function mount(main, item, first) {
  let parameters = first;
  let found = [];
  let known = "";
  const search = form((said) => (hash("traces", "", said) === location.hash ? refresh.now() : go(hash("traces", "", said))));
  const summary = h("span", { class: "soft" }, "…");
  const compare = h("a", { class: "end", href: hash("compare") }, "Compare errors with the rest");
  const chosen = h("div", { class: "chosen", role: "status" });
  const chart = scatter({ onopen: (id) => go(hash("trace", id)), onbox: choose });
  const list = table({
    label: "Traces", columns: COLUMNS, sort: parameters.sort ?? "", empty: "No trace fits. Look further back, or ask for less.",
    onsort: (sort) => go(hash("traces", "", { ...parameters, sort }), { replacing: true }),
  });
  main.append(
    h("div", { class: "head" }, h("h1", {}, "Traces"), summary, compare),
    search.element, h("section", { class: "card", "aria-label": "Durations" }, chart.element, chosen),
    h("section", { class: "card", "aria-label": "Results" }, list.element));
  search.show(parameters);

  async function load(signal) {
    let asked;
    try {
      asked = question(parameters);
    } catch (error) {
      replace(summary, error.message);
      list.draw([]);
      return;
    }
    const [answer] = await Promise.all([json("skein/traces", asked.question, signal), search.offerServices(signal)]);
    found = answer.traces;
    replace(summary, says(answer, asked));
    if (!found.length && search.isEmpty() && hints) main.append(hints);
    else hints?.remove();
    compare.setAttribute("href", hash("compare", "", { ...parameters, by: "errors" }));
    const now = JSON.stringify(found.map((trace) => [trace.id, trace.spans]));
    if (now !== known) list.draw(found);
    known = now;
    chart.draw(found.filter((trace) => trace.start > 0).map((trace) => ({
      x: trace.start / 1000, y: trace.duration, isBad: trace.errors > 0, id: trace.id,
      title: [
        plain(trace.service, 60), plain(trace.path ?? trace.name, 80), duration(trace.duration), clock(trace.start / 1000),
      ].join(", "),
    })), answer.isCut ? oldest(found, asked) : asked.from, asked.to);
  }

  /** Where more may have been found, the chart begins with what was: beyond it nothing is known. */
  function oldest(traces, asked) {
    const first = traces.reduce((least, trace) => (trace.start > 0 ? Math.min(least, trace.start / 1000) : least), Infinity);
    return Number.isFinite(first) ? Math.max(asked.from, first - (asked.to - first) * 0.02) : asked.from;
  }

  function choose(box) {
    const inside = found.filter((trace) => trace.start / 1000 >= box.from && trace.start / 1000 <= box.to
      && trace.duration >= box.least && trace.duration <= box.most);
    const only = { ...parameters, from: box.from, to: box.to, range: "", min: `${box.least}us`, max: `${box.most}us` };
    const inBox = { ...parameters, ...fixedRange(), box: [box.from, box.to, box.least, box.most].join(",") };
    replace(chosen,
      h("span", {}, `${count(inside.length)} of ${count(found.length)} traces, ${clock(box.from)} to ${clock(box.to)}, `
        + `${duration(box.least)} to ${duration(box.most)}`),
      h("a", { class: "button", href: hash("compare", "", inBox) }, "Compare them with the rest"),
      h("a", { class: "button", href: hash("traces", "", only) }, "Only these"),
      h("button", { type: "button", class: "quiet", onclick: clear }, "Forget the box"));
  }

  /** The range of time as it is now: what is compared must not move on. */
  function fixedRange() {
    const { from, to } = question(parameters);
    return { from: Math.floor(from), to: Math.ceil(to), range: "" };
  }

  function clear() {
    replace(chosen);
    chart.clearBox();
  }

  const refresh = repeat(load, REFRESH_SECONDS);
  return {
    update(_, next) {
      const isSame = JSON.stringify({ ...next, sort: "" }) === JSON.stringify({ ...parameters, sort: "" });
      parameters = next;
      search.show(parameters);
      if (isSame) return;
      clear();
      refresh.now();
    },
    unmount() {
      refresh();
      chart.end();
    },
  };
}

function says(answer, asked) {
  const time = asked.isLive ? `the last ${span(asked.to - asked.from)}` : `${date(asked.from)} to ${date(asked.to)}`;
  const number = answer.traces.length;
  const cut = !answer.isCut ? "" : number >= answer.limit
    ? ", the newest; there may be more: raise Traces or narrow the search"
    : `; only the newest ${count(answer.examined)} that may fit were looked at`;
  return `${count(number)} in ${time}${cut}`;
}

const COLUMNS = [
  { id: "start", title: "Started", down: true, value: (trace) => trace.start, class: "time", cell: (trace) =>
    trace.start ? h("time", { title: date(trace.start / 1000) }, clock(trace.start / 1000, true)) : "–" },
  { id: "root", title: "Root", value: (trace) => `${trace.service ?? ""} ${trace.name ?? ""}`, class: "root", cell: (trace) =>
    h("a", { href: hash("trace", trace.id) }, h("b", {}, foreign(trace.service || "(no service)", 60)), " ",
      trace.name && trace.name !== trace.path ? h("span", { class: "soft wide" }, foreign(trace.name, 80)) : "") },
  { id: "method", title: "Method", value: (trace) => trace.method ?? "", wide: true, cell: (trace) => foreign(trace.method, 16) },
  { id: "path", title: "Path", value: (trace) => trace.path ?? "", class: "path", cell: (trace) => foreign(trace.path, 100) },
  { id: "status", title: "Status", value: (trace) => Number(trace.status) || 0, cell: (trace) => status(trace.status) },
  { id: "services", title: "Services", value: (trace) => trace.serviceCount, wide: true, cell: (trace) => services(trace) },
  { id: "spans", title: "Spans", num: true, down: true, wide: true, value: (trace) => trace.spans, cell: (trace) => count(trace.spans) },
  { id: "errors", title: "Errors", num: true, down: true, value: (trace) => trace.errors, cell: (trace) =>
    trace.errors ? h("span", { class: "bad" }, count(trace.errors)) : h("span", { class: "soft" }, "0") },
  { id: "duration", title: "Duration", num: true, down: true, value: (trace) => trace.duration, cell: (trace) => duration(trace.duration) },
];

/** A status of HTTP with its colour; the number says the same. */
export function status(code) {
  if (!code) return "";
  const kind = /^[23]/.test(code) ? "good" : /^4/.test(code) ? "warn" : /^1/.test(code) ? "" : "bad";
  return h("span", { class: `tag ${kind}` }, plain(code, 16));
}

function services(trace) {
  const names = trace.services.slice(0, 3).map((name) => plain(name.replace(/\.[^.]*$/, "") || name, 30));
  const more = trace.serviceCount - names.length;
  const all = trace.services.map((name) => plain(name, 60)).join("\n");
  return h("span", { title: all }, h("bdi", {}, names.join(", ")), more > 0 ? ` +${more}` : "");
}
