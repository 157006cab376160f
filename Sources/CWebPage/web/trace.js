// One trace: its rows over time, a minimap, the critical path, a search inside, a panel for a span.

import { address, json } from "./api.js";
import { foreign, h, plain, replace } from "./dom.js";
import { count, counted, date, duration } from "./format.js";
import { go, hash } from "./location.js";
import { trouble } from "./notice.js";
import { minimap } from "./minimap.js";
import { spanPanel } from "./spanpanel.js";
import { build, criticalPath, says } from "./tree.js";
import { mark, waterfall } from "./waterfall.js";

// A trace that was just made comes in parts; for so long it is asked for again.
const FRESH_MILLIS = 15000;
const AGAIN_MILLIS = 3000;
// A trace whose request has just been seen in the log may still be on its way to the store.
const LATE_TRIES = 5;
const LATE_MILLIS = 1000;
const SERVICES_SHOWN = 40;

export const title = (id) => `Trace ${plain(id, 32)}`;

export function mount(main, id, first) {
  const controller = new AbortController();
  let parameters = first;
  let parts = null;
  let timer = 0;
  let spanCount = 0;
  let tries = 0;
  replace(main, h("p", { class: "loading" }, "The trace is read…"));

  async function load() {
    try {
      const spans = await json(`api/v2/trace/${encodeURIComponent(id)}`, {}, controller.signal);
      if (spans.length !== spanCount) {
        spanCount = spans.length;
        const isFocused = document.activeElement?.classList.contains("waterfall");
        parts?.end();
        parts = draw(main, id, build(spans), () => parameters);
        if (isFocused) main.querySelector(".waterfall").focus();
      }
      const end = Math.max(...spans.slice(0, 5000).map((span) => (span.timestamp ?? 0) + (span.duration ?? 0))) / 1000;
      if (Date.now() - end < FRESH_MILLIS) timer = setTimeout(load, AGAIN_MILLIS);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 404) {
        replace(main, h("p", { class: "empty" }, "The trace ", h("bdi", { class: "mono" }, plain(id, 64)),
          " is not stored here: it may be too old, not sampled, or still on its way."), h("p", { class: "empty" },
        h("a", { href: hash("traces") }, "All traces")));
        tries += 1;
        if (tries < LATE_TRIES) timer = setTimeout(load, LATE_MILLIS);
      } else if (error.status === 400) replace(main, h("p", { class: "empty" }, plain(error.message, 300)));
      else trouble(error);
    }
  }

  load();
  return {
    update(_, next) {
      parameters = next;
      parts?.update();
    },
    unmount() {
      controller.abort();
      clearTimeout(timer);
      parts?.end();
    },
  };
}

function draw(main, id, trace, parameters) {
  const root = trace.roots[0];
  const tags = root.span.tags ?? {};
  const request = [tags["http.method"] ?? tags["http.request.method"], tags["http.url"] ?? tags["url.full"] ?? tags["http.path"]
    ?? tags["url.path"]].filter(Boolean).join(" ");
  const path = criticalPath(trace.roots);
  const panel = spanPanel({ traceId: id, trace, onclose: () => remember({ span: "" }) });
  const rows = waterfall({
    trace, onview: (view) => map.setView(view),
    onselect: (row) => {
      panel.show(row);
      remember({ span: row.span.id });
    },
  });
  const map = minimap({ trace, onview: rows.show });
  let matches = [];
  let at = -1;

  /** What is chosen stands in the address, without a step to go back to. */
  function remember(change) {
    const next = hash("trace", id, { ...parameters(), ...change });
    if (next !== location.hash) go(next, { replacing: true });
  }

  const found = h("span", { class: "soft", role: "status" });
  const search = h("input", {
    type: "search", placeholder: "Search in the trace", "aria-label": "Search in the trace", "data-search": true, size: 20,
    oninput: look, onkeydown: (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      step(event.shiftKey ? -1 : 1);
    },
  });
  function look() {
    const text = search.value.trim();
    matches = text ? trace.rows.filter((row) => says(row, text)) : [];
    at = -1;
    rows.setMatches(text ? new Set(matches) : null);
    replace(found, text ? `${count(matches.length)} of ${count(trace.rows.length)}` : "");
    remember({ find: text });
  }
  function step(by) {
    if (!matches.length) return;
    at = (at + by + matches.length) % matches.length;
    rows.select(matches[at]);
    search.focus();
    replace(found, `${count(at + 1)} of ${count(matches.length)}`);
  }

  const failing = trace.rows.filter((row) => row.isError);
  // The deepest first: an error above is mostly the echo of one below.
  failing.sort((a, b) => b.depth - a.depth || a.start - b.start);
  let failure = -1;
  const nextFailure = () => {
    failure = (failure + 1) % failing.length;
    rows.select(failing[failure]);
    rows.focus();
  };
  const critical = h("button", { type: "button", "aria-pressed": "true", onclick: () => {
    const isOn = critical.getAttribute("aria-pressed") !== "true";
    critical.setAttribute("aria-pressed", String(isOn));
    rows.setPath(isOn ? path : []);
  } }, "Critical path");

  replace(main,
    h("div", { class: "head" },
      h("h1", {}, h("b", {}, foreign(root.service || "(no service)", 80)), " ", foreign(request || root.name, 160)),
      trace.errors > 0 && h("span", { class: "bad" }, counted(trace.errors, "error"))),
    h("div", { class: "facts" },
      fact("Started", trace.start ? date(trace.start / 1000) : "not said"), fact("Took", duration(trace.duration)),
      fact("Spans", count(trace.rows.length)), fact("Services", count(trace.services.size)),
      fact("Trace id", h("span", { class: "mono" }, plain(id, 40))),
      h("a", { href: address(`api/v2/trace/${encodeURIComponent(id)}`) }, "JSON"),
      h("a", { href: hash("logs", "", { trace: id }) }, "Log lines"),
      h("a", { href: hash("beside", "", { a: id }) }, "Beside another trace")),
    h("div", { class: "toolbar script" }, search, found,
      h("button", { type: "button", onclick: () => step(-1), "aria-label": "Match before" }, "↑"),
      h("button", { type: "button", onclick: () => step(1), "aria-label": "Next match" }, "↓"),
      failing.length > 0 && h("button", { type: "button", onclick: nextFailure }, "Next error"), critical,
      h("button", { type: "button", onclick: () => rows.collapseBelow(Infinity) }, "Expand all"),
      h("button", { type: "button", onclick: () => rows.collapseBelow(1) }, "Collapse")),
    legend(trace, path),
    h("div", { class: "tracebox" },
      h("section", { class: "card spans", "aria-label": "Spans" }, map.element, rows.element), panel.element));
  rows.start();
  rows.setPath(path);
  map.setView({ from: 0, to: trace.duration });
  apply();

  /** Does what the address says. */
  function apply() {
    const said = parameters();
    if ((said.find ?? "") !== search.value.trim()) {
      search.value = said.find ?? "";
      look();
    }
    const wanted = said.span && trace.rows.find((row) => row.span.id === said.span);
    if (wanted && panel.element.dataset.span !== said.span) rows.select(wanted);
    panel.element.dataset.span = said.span ?? "";
  }

  return {
    update: apply,
    end() {
      rows.end();
      map.end();
    },
  };
}

const fact = (name, value) => h("span", {}, h("span", { class: "soft" }, `${name} `), value);

/** Services with their marks, and the share of the critical path that each has. */
function legend(trace, path) {
  const own = new Map();
  for (const part of path) own.set(part.row.service, (own.get(part.row.service) ?? 0) + part.to - part.from);
  const whole = path.reduce((sum, part) => sum + part.to - part.from, 0) || 1;
  const list = [...trace.services].slice(0, SERVICES_SHOWN);
  return h("ul", { class: "chips legend", "aria-label": "Services and their share of the critical path" },
    list.map(([name, number]) => h("li", { class: "chip" }, mark(number), foreign(name || "(no service)", 40),
      own.has(name) && h("span", { class: "soft" }, `${Math.round(own.get(name) / whole * 100)} %`))),
    trace.services.size > list.length && h("li", { class: "soft" }, `and ${trace.services.size - list.length} more`));
}
