// A PromQL query, with completion, as lines over time or as the values of now.

import { json, query, queryRange } from "./api.js";
import { field, foreign, h, menu, plain, replace } from "./dom.js";
import { chart } from "./chart.js";
import { completion } from "./complete.js";
import { count, millis, number } from "./format.js";
import { go, hash } from "./location.js";
import { table } from "./table.js";
import { trouble, well } from "./notice.js";

const RANGES = [["now", "now, as a table"], ["5m", "5 minutes"], ["15m", "15 minutes"], ["1h", "1 hour"], ["6h", "6 hours"],
  ["1d", "1 day"], ["7d", "7 days"], ["31d", "31 days"]];
const DEFAULT_RANGE = "1h";
const POINTS = 240;
const STEP_MIN = 5;
const ROWS_MAX = 500;
const EXAMPLES = [
  ["Requests a second by service", "sum by (destination_service_name) (rate(istio_requests_total{reporter=\"source\"}[1m]))"],
  ["Share of 5xx by service", "sum by (destination_service_name) (rate(istio_requests_total{response_code=~\"5..\"}[5m])) "
    + "/ sum by (destination_service_name) (rate(istio_requests_total[5m]))"],
  ["p99 by service, milliseconds", "histogram_quantile(0.99, sum by (destination_service_name, le) "
    + "(rate(istio_request_duration_milliseconds_bucket[5m])))"],
  ["Memory of each process", "process_resident_memory_bytes"],
];

export const title = () => "Ask";

export function mount(main, item, first) {
  let parameters = first;
  let controller = new AbortController();
  const text = h("textarea", {
    rows: 2, spellcheck: "false", autocomplete: "off", "data-search": true, class: "mono", placeholder: EXAMPLES[0][1],
    onkeydown: (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.defaultPrevented) {
        event.preventDefault();
        form.requestSubmit();
      }
    },
  });
  const range = menu({}, RANGES, DEFAULT_RANGE);
  range.addEventListener("change", () => form.requestSubmit());
  const offered = completion(text, () => json("api/v1/label/__name__/values").then((answer) => answer.data),
    () => json("api/v1/labels").then((answer) => answer.data));
  const form = h("form", { class: "card script asking", "aria-label": "PromQL", onsubmit: submit }, field("PromQL", text), offered.element,
    h("div", { class: "form" }, field("Over", range), h("button", { class: "primary" }, "Ask"),
      h("span", { class: "note" }, "Enter asks, Shift and Enter is a new line")));
  const lines = chart({ label: "Result" });
  const picture = h("section", { class: "card", "aria-label": "Chart", hidden: true }, lines.element);
  const list = table({ label: "Values", columns: COLUMNS, sort: "-value", empty: "No series." });
  const summary = h("p", { class: "note", role: "status" });
  const values = h("section", { class: "card", "aria-label": "Values", hidden: true }, list.element);
  const examples = h("section", { class: "card", "aria-label": "Examples" }, h("h2", {}, "To begin with"),
    h("ul", {}, EXAMPLES.map(([name, one]) => h("li", {}, h("a", { href: hash("ask", "", { q: one }) }, name)))));
  main.append(h("div", { class: "head" }, h("h1", {}, "Ask")), form, summary, picture, values, examples);

  function submit(event) {
    event.preventDefault();
    offered.close();
    const next = hash("ask", "", { q: text.value.trim(), range: range.value === DEFAULT_RANGE ? "" : range.value });
    if (next === location.hash) load();
    else go(next);
  }

  async function load() {
    if (document.activeElement !== text || !text.value) text.value = parameters.q ?? "";
    range.value = parameters.range ?? DEFAULT_RANGE;
    examples.hidden = Boolean(parameters.q);
    controller.abort();
    const mine = (controller = new AbortController());
    if (!parameters.q) {
      picture.hidden = true;
      values.hidden = true;
      replace(summary);
      return;
    }
    try {
      const begun = performance.now();
      const rows = range.value === "now" ? await now(mine.signal) : await overTime(mine.signal);
      well();
      list.draw(rows.slice(0, ROWS_MAX));
      values.hidden = false;
      replace(summary, `${count(rows.length)} series in ${count(performance.now() - begun)} ms`
        + (rows.length > ROWS_MAX ? `; the first ${ROWS_MAX} are listed` : ""));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status >= 400 && error.status < 500) {
        replace(summary, h("span", { class: "bad" }, "refused"), " ", plain(error.message, 600));
      } else trouble(error);
    }
  }

  async function now(signal) {
    picture.hidden = true;
    return query(parameters.q, signal);
  }

  async function overTime(signal) {
    const length = millis(range.value) / 1000;
    const step = Math.max(STEP_MIN, Math.ceil(length / POINTS));
    const to = Math.floor(Date.now() / 1000);
    const series = await queryRange(parameters.q, to - length, to, step, signal);
    picture.hidden = false;
    lines.draw({ from: to - length, to, series: series.map((one) => ({ ...one, name: named(one.labels) })) });
    return series.map((one) => ({ labels: one.labels, value: one.points[one.points.length - 1]?.[1] ?? NaN }));
  }

  load();
  return {
    update(_, next) {
      parameters = next;
      text.value = parameters.q ?? "";
      load();
    },
    unmount() {
      controller.abort();
      lines.end();
    },
  };
}

/** A series as PromQL writes it. */
function named(labels) {
  const { __name__: name = "", ...rest } = labels;
  const list = Object.entries(rest).map(([key, value]) => `${key}="${value}"`);
  return `${name}${list.length ? `{${list.join(", ")}}` : name ? "" : "{}"}`;
}

const COLUMNS = [
  { id: "series", title: "Series", value: (row) => named(row.labels), cell: (row) =>
    h("span", { class: "mono" }, foreign(named(row.labels), 600)) },
  { id: "value", title: "Value", num: true, down: true, value: (row) => row.value, cell: (row) =>
    h("span", { title: String(row.value) }, Number.isFinite(row.value) ? number(row.value) : String(row.value)) },
];
