// Two traces side by side: their spans by the way that leads to them, with how long each took in both.

import { json } from "./api.js";
import { field, foreign, h, plain, replace } from "./dom.js";
import { count, duration } from "./format.js";
import { go, hash, traceID } from "./location.js";
import { pairs } from "./pairs.js";
import { trouble, well } from "./notice.js";
import { build, DEPTH_MAX } from "./tree.js";
import { mark } from "./waterfall.js";

const ROWS_MAX = 1000;

export const title = () => "Two traces";

export function mount(main, item, first) {
  const controller = new AbortController();
  let parameters = first;
  const a = h("input", { size: 34, placeholder: "trace id", spellcheck: "false", "data-search": true });
  const b = h("input", { size: 34, placeholder: "trace id", spellcheck: "false" });
  const form = h("form", { class: "card form", "aria-label": "Which traces", onsubmit: submit }, field("This trace", a),
    field("beside this", b), h("button", { class: "primary" }, "Compare"));
  const summary = h("p", { class: "soft", role: "status" });
  const result = h("section", { class: "card", "aria-label": "Spans of both" });
  main.append(h("div", { class: "head" }, h("h1", {}, "Two traces side by side")), form, summary, result);

  function submit(event) {
    event.preventDefault();
    go(hash("beside", "", { a: traceID(a.value) ?? a.value.trim(), b: traceID(b.value) ?? b.value.trim() }));
  }

  async function load() {
    a.value = parameters.a ?? "";
    b.value = parameters.b ?? "";
    if (!parameters.a || !parameters.b) {
      replace(summary, "Name two traces by their ids.");
      replace(result);
      return;
    }
    try {
      const traces = await Promise.all([parameters.a, parameters.b].map(async (id) => {
        try {
          return build(await json(`api/v2/trace/${encodeURIComponent(id)}`, {}, controller.signal));
        } catch (error) {
          if (error.status !== 404 && error.status !== 400) throw error;
          throw Object.assign(new Error(`${plain(id, 40)}: ${error.message}`), { isKnown: true });
        }
      }));
      well();
      draw(traces);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.isKnown) replace(summary, plain(error.message, 200));
      else trouble(error);
    }
  }

  function draw([one, other]) {
    const rows = pairs(one.rows, other.rows);
    const alone = rows.filter((row) => !row.a || !row.b).length;
    replace(summary, `${duration(one.duration)} and ${duration(other.duration)}: ${count(rows.length - alone)} spans are in both, `
      + `${count(alone)} in one alone${rows.length > ROWS_MAX ? `; the first ${ROWS_MAX} are shown` : ""}`);
    const widest = Math.max(one.duration, other.duration);
    const services = new Map([...new Set([...one.services.keys(), ...other.services.keys()])].map((name, index) => [name, index]));
    const head = (id) => h("a", { href: hash("trace", id) }, h("span", { class: "mono" }, plain(id, 12)));
    replace(result, h("div", { class: "scroll" }, h("table", { "aria-label": "Spans of both traces" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Span"), h("th", { scope: "col", class: "num" }, head(parameters.a)),
        h("th", { scope: "col", class: "num" }, head(parameters.b)), h("th", { scope: "col", class: "num" }, "Difference"),
        h("th", { scope: "col", class: "wide" }, "Durations"))),
      h("tbody", {}, rows.slice(0, ROWS_MAX).map((row) => line(row, widest, services))))));
  }

  function line({ a: one, b: other, depth }, widest, services) {
    const either = one ?? other;
    const change = one && other ? other.duration - one.duration : NaN;
    const cell = (row) => [row ? duration(row.duration) : h("span", { class: "soft" }, "not there"),
      row?.isError && [" ", h("span", { class: "bad" }, "error")]];
    const share = (row) => (row ? Math.max(0.5, row.duration / widest * 100) : 0);
    const bar = (row, kind) => h("div", { class: `share ${kind}`, style: { width: `${share(row)}%` } });
    const indent = { "padding-left": `${Math.min(depth, DEPTH_MAX) * 12}px` };
    return h("tr", {},
      h("td", { style: indent }, mark(services.get(either.service)), " ", h("b", {}, foreign(either.service || "(no service)", 50)), " ",
        foreign(either.name, 60)),
      h("td", { class: "num" }, cell(one)), h("td", { class: "num" }, cell(other)),
      h("td", { class: "num" }, Number.isFinite(change) ? `${change < 0 ? "−" : "+"}${duration(Math.abs(change))}` : "–"),
      h("td", { class: "wide shares" }, bar(one, "share-a"), bar(other, "share-b")));
  }

  load();
  return {
    update(_, next) {
      parameters = next;
      load();
    },
    unmount: () => controller.abort(),
  };
}
