// Which attributes differ between some traces and the rest: those in a box of durations and times, those with errors, or the slowest.

import { json } from "./api.js";
import { field, foreign, h, menu, plain, replace } from "./dom.js";
import { clock, count, duration, percent } from "./format.js";
import { differences } from "./differences.js";
import { go, hash } from "./location.js";
import { trouble, well } from "./notice.js";
import { question } from "./search.js";

const KINDS = [["errors", "with an error"], ["slow", "slower than 9 of 10"], ["status", "with status 5xx"], ["box", "in the chosen box"]];
/** Traces that are read whole; their spans are counted here. */
const TRACES_MAX = 400;
const ROWS_SHOWN = 60;

export const title = () => "Compare";

export function mount(main, item, first) {
  const controller = new AbortController();
  let parameters = first;
  const by = menu({}, KINDS, "errors");
  const service = h("input", { size: 20, placeholder: "any" });
  const range = h("input", { size: 6, placeholder: "1h" });
  const form = h("form", { class: "card form script", "aria-label": "What to compare", onsubmit: submit }, field("Traces", by),
    field("Service", service), field("Within", range), h("button", { class: "primary" }, "Compare with the rest"));
  const summary = h("p", { class: "soft", role: "status" }, "The traces are read…");
  const result = h("section", { class: "card", "aria-label": "What differs" }, h("p", { class: "loading" }, "…"));
  main.append(h("div", { class: "head" }, h("h1", {}, "Compare"), h("a", { class: "end" }, "")), form, summary, result);
  const back = main.querySelector(".head a");

  function submit(event) {
    event.preventDefault();
    const next = { ...parameters, by: by.value, service: service.value.trim(), range: range.value.trim() };
    if (by.value !== "box") delete next.box;
    if (range.value.trim()) {
      delete next.from;
      delete next.to;
    }
    go(hash("compare", "", next));
  }

  function show() {
    const isBox = Boolean(parameters.box);
    by.querySelector("[value=box]").hidden = !isBox;
    by.value = isBox && !parameters.by ? "box" : parameters.by ?? "errors";
    service.value = parameters.service ?? "";
    range.value = parameters.range ?? "";
    const { box, by: _, ...search } = parameters;
    back.setAttribute("href", hash("traces", "", search));
    back.textContent = "The traces";
  }

  async function load() {
    try {
      const asked = question({ ...parameters, limit: String(TRACES_MAX) });
      const { status, text, errors, ...zipkin } = asked.question;
      const traces = await json("api/v2/traces", zipkin, controller.signal);
      well();
      draw(traces.filter((trace) => trace.length));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === undefined || error.status === 400) replace(summary, plain(error.message, 300));
      else trouble(error);
    }
  }

  function draw(traces) {
    const facts = traces.map((spans) => {
      const start = spans.reduce((least, span) => Math.min(least, span.timestamp ?? Infinity), Infinity);
      const end = spans.reduce((most, span) => Math.max(most, (span.timestamp ?? 0) + (span.duration ?? 0)), 0);
      return { spans, start, duration: Number.isFinite(start) ? end - start : 0 };
    });
    const { isChosen, words } = choice(by.value, parameters.box, facts);
    const chosen = facts.filter(isChosen);
    const rest = facts.filter((trace) => !isChosen(trace));
    replace(summary, `${count(chosen.length)} traces ${words}, and ${count(rest.length)} others`
      + (traces.length >= TRACES_MAX ? `: the newest ${TRACES_MAX} were read` : ""));
    if (!chosen.length || !rest.length) {
      replace(result, h("p", { class: "empty" }, chosen.length ? "There is nothing to compare them with." : "No trace is chosen by this."));
      return;
    }
    const rows = differences(chosen.map((trace) => trace.spans), rest.map((trace) => trace.spans));
    replace(result, rows.length ? table(rows.slice(0, ROWS_SHOWN), chosen.length, rest.length)
      : h("p", { class: "empty" }, "No attribute differs by more than chance would make it."),
    rows.length > ROWS_SHOWN && h("p", { class: "note" }, `${count(rows.length - ROWS_SHOWN)} that differ less are left out.`));
  }

  function table(rows, chosen, rest) {
    return h("div", { class: "scroll" }, h("table", { "aria-label": "Attributes, those that differ most first" },
      h("thead", {}, h("tr", {}, ["Attribute", "Value", `Of these (${count(chosen)})`, `Of the rest (${count(rest)})`].map((name, index) =>
        h("th", { scope: "col", class: index > 1 ? "num" : null }, name)), h("th", { scope: "col", class: "wide" }, "Shares"))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("td", {}, foreign(row.key, 60)),
        h("td", {}, h("a", { href: tracesWith(row) }, foreign(row.value, 100))),
        h("td", { class: "num" }, `${count(row.inChosen)} · ${percent(row.inChosen / chosen)}`),
        h("td", { class: "num" }, `${count(row.inRest)} · ${percent(row.inRest / rest)}`),
        h("td", { class: "wide shares" }, bar("these", row.inChosen / chosen, "share-a"), bar("rest", row.inRest / rest, "share-b")))))));
  }

  const bar = (name, share, kind) => h("div", { class: `share ${kind}`, style: { width: `${Math.max(1, share * 100)}%` } });

  /** The traces that have it: by a tag, a span's name or a service. */
  function tracesWith({ key, value }) {
    const { box, by: _, ...search } = parameters;
    if (key === "service") return hash("traces", "", { ...search, service: value });
    if (key === "span") return hash("traces", "", { ...search, text: value.slice(0, 80) });
    return hash("traces", "", { ...search, tags: `${key}=${value}` });
  }

  show();
  load();
  return {
    update(_, next) {
      parameters = next;
      show();
      load();
    },
    unmount: () => controller.abort(),
  };
}

/** Which traces are looked at, and how that is said. */
function choice(kind, box, facts) {
  if (kind === "box" && box) {
    const [from, to, least, most] = box.split(",").map(Number);
    return {
      isChosen: ({ start, duration: took }) => start / 1000 >= from && start / 1000 <= to && took >= least && took <= most,
      words: `from ${clock(from)} to ${clock(to)} that took ${duration(least)} to ${duration(most)}`,
    };
  }
  if (kind === "slow") {
    const sorted = facts.map((trace) => trace.duration).sort((a, b) => a - b);
    const least = sorted[Math.floor(sorted.length * 0.9)] ?? 0;
    return { isChosen: (trace) => trace.duration >= least && least > 0, words: `that took ${duration(least)} or more` };
  }
  if (kind === "status") {
    const failed = (span) => /^5\d\d$/.test(span.tags?.["http.status_code"] ?? span.tags?.["http.response.status_code"] ?? "");
    return { isChosen: ({ spans }) => spans.some(failed), words: "with status 5xx" };
  }
  return { isChosen: ({ spans }) => spans.some((span) => "error" in (span.tags ?? {})), words: "with an error" };
}
