// Completion of a PromQL query: names of metrics, functions and labels, chosen with the arrow keys (a text field with a list of options).

import { h, plain, replace } from "./dom.js";

const OFFERED_MAX = 12;
const NAMES_MAX = 20000;
const WORDS = [
  "abs", "absent", "absent_over_time", "avg", "avg_over_time", "bottomk", "by", "ceil", "changes", "clamp", "clamp_max",
  "clamp_min", "count", "count_over_time", "count_values", "day_of_month", "day_of_week", "delta", "deriv", "exp", "floor",
  "group", "group_left", "group_right", "histogram_quantile", "hour", "idelta", "ignoring", "increase", "irate", "label_join",
  "label_replace", "last_over_time", "ln", "log10", "log2", "max", "max_over_time", "min", "min_over_time", "minute", "offset",
  "on", "predict_linear", "quantile", "quantile_over_time", "rate", "resets", "round", "scalar", "sgn", "sort", "sort_desc",
  "sqrt", "stddev", "stdvar", "sum", "sum_over_time", "time", "timestamp", "topk", "unless", "vector", "without", "year",
];
let made = 0;

/** `names()` and `labels()` are asked once, when they are first needed. */
export function completion(field, names, labels) {
  const id = `offers-${++made}`;
  const list = h("ul", { id, class: "offers", role: "listbox", "aria-label": "Completions", hidden: true });
  const element = h("div", { class: "offerbox" }, list);
  let known = null;
  let offers = [];
  let chosen = -1;
  field.setAttribute("aria-autocomplete", "list");
  field.setAttribute("aria-controls", id);

  async function learn() {
    known ??= Promise.all([names(), labels()]).catch(() => {
      known = null;
      return [[], []];
    });
    return known;
  }

  /** The word before the cursor, and whether it stands between braces or after `by (`. */
  function word() {
    const before = field.value.slice(0, field.selectionStart);
    const text = /[a-zA-Z_:][\w:]*$/.exec(before)?.[0] ?? "";
    const isLabel = /\{[^}]*$/.test(before) || /\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*$/.test(before);
    return { text, isLabel, isValue: /["'][^"']*$/.test(before.replace(/"[^"]*"|'[^']*'/g, "")) };
  }

  async function offer() {
    const { text, isLabel, isValue } = word();
    if (!text || isValue) {
      close();
      return;
    }
    const [metrics, labelNames] = await learn();
    const lower = text.toLowerCase();
    const from = isLabel ? labelNames : [...WORDS, ...metrics.slice(0, NAMES_MAX)];
    const fits = from.filter((name) => name.toLowerCase().includes(lower) && name !== text);
    const begins = (name) => name.toLowerCase().startsWith(lower);
    offers = fits.sort((a, b) => begins(b) - begins(a) || a.length - b.length).slice(0, OFFERED_MAX);
    chosen = -1;
    draw();
  }

  function draw() {
    list.hidden = offers.length === 0;
    replace(list, offers.map((name, index) => h("li", {
      id: `${id}-${index}`, role: "option", "aria-selected": String(index === chosen), onpointerdown: (event) => {
        event.preventDefault();
        take(index);
      },
    }, plain(name, 120))));
    if (chosen >= 0) field.setAttribute("aria-activedescendant", `${id}-${chosen}`);
    else field.removeAttribute("aria-activedescendant");
  }

  function take(index) {
    const { text } = word();
    const at = field.selectionStart;
    const before = field.value.slice(0, at - text.length) + offers[index];
    field.value = before + field.value.slice(at);
    field.setSelectionRange(before.length, before.length);
    close();
  }

  function close() {
    offers = [];
    chosen = -1;
    draw();
  }

  field.addEventListener("input", offer);
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (!offers.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : chosen < 0 ? 0 : -1;
      chosen = (chosen + step + offers.length) % offers.length;
      draw();
    } else if (event.key === "Escape") close();
    else if ((event.key === "Enter" && chosen >= 0) || event.key === "Tab") take(Math.max(0, chosen));
    else return;
    event.preventDefault();
  }, { capture: true });
  return { element, close };
}
