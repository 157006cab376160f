// One span in a panel of its own: what it says, what the access log says of it, and why its request went where it went.

import { json, lines } from "./api.js";
import { foreign, h, plain, replace } from "./dom.js";
import { clock, duration } from "./format.js";
import { explanation } from "./explain.js";
import { hash } from "./location.js";

const TAGS_MAX = 200;
const EVENTS_MAX = 200;
const VALUE_MAX = 4000;

/** `close()` takes the panel away. */
export function spanPanel({ traceId, trace, onclose }) {
  const element = h("aside", { class: "card panel", "aria-label": "Span", hidden: true });
  let log = null;
  let route = null;

  async function logLines() {
    log ??= lines("skein/logs", { "trace-id": traceId, format: "traced", limit: 200 });
    return log;
  }

  async function routing() {
    route ??= json("skein/explain", { "trace-id": traceId });
    return route;
  }

  function show(row) {
    const { span } = row;
    const places = [
      ["Service", foreign(row.service || "(no service)")], ["Kind", span.kind?.toLowerCase() ?? "not said"],
      ["Starts", row.start === null ? "not said" : `${duration(row.start)} in, at ${clock((trace.start + row.start) / 1000, true)}`],
      ["Takes", duration(row.duration)], ["Own time", duration(ownTime(row))],
      span.remoteEndpoint && ["Other end", endpoint(span.remoteEndpoint)],
      span.localEndpoint?.ipv4 && ["This end", endpoint(span.localEndpoint)],
      ["Span id", h("span", { class: "mono" }, plain(span.id, 40))],
      span.parentId && ["Parent id", h("span", { class: "mono" }, plain(span.parentId, 40))],
    ].filter(Boolean);
    const tags = Object.entries(span.tags ?? {}).sort(([a], [b]) => (b === "error") - (a === "error") || a.localeCompare(b));
    const events = [...(span.annotations ?? [])].sort((a, b) => a.timestamp - b.timestamp);
    const logged = h("div", {}, h("p", { class: "soft" }, "…"));
    const routed = h("div", {}, h("p", { class: "soft" }, "…"));
    element.hidden = false;
    replace(element,
      h("div", { class: "head" }, h("h2", {}, foreign(row.name || "(no name)", 200)), row.isError && h("span", { class: "bad" }, "error"),
        h("button", { class: "quiet end", type: "button", onclick: close, "aria-label": "Close the span" }, "✕")),
      list(places),
      h("h3", {}, `Tags (${tags.length})`), list(tags.slice(0, TAGS_MAX).map(([key, value]) => [foreign(key, 200), tagValue(key, value)])),
      tags.length > TAGS_MAX && h("p", { class: "note" }, `${tags.length - TAGS_MAX} more are in the JSON`),
      events.length > 0 && [h("h3", {}, `Events (${events.length})`), list(events.slice(0, EVENTS_MAX).map((event) =>
        [duration(event.timestamp - trace.start), foreign(event.value, VALUE_MAX)]))],
      h("h3", {}, "Access log"), logged, h("h3", {}, "Why it went there"), routed);
    drawLog(logged, span.id);
    drawRoute(routed);
  }

  async function drawLog(place, id) {
    try {
      const all = await logLines();
      const mine = all.filter((line) => line.span_id === id);
      const said = (line) => Object.entries(line).filter(([, value]) => value !== null && value !== "-");
      replace(place, mine.length
        ? mine.map((line) => list(said(line).map(([key, value]) => [key, foreign(value, VALUE_MAX)])))
        : h("p", { class: "soft" }, all.length
          ? "No line of this span. "
          : "This process has no line of the trace in its memory: another proxy served it, or it is too long ago. ",
        all.length > 0 && h("a", { href: hash("logs", "", { trace: traceId }) }, `${all.length} of the trace`)));
    } catch (error) {
      replace(place, h("p", { class: "soft" }, plain(error.message, 300)));
    }
  }

  async function drawRoute(place) {
    try {
      replace(place, explanation(await routing()));
    } catch (error) {
      replace(place, h("p", { class: "soft" }, error.status === 404
        ? "This process did not serve the request, or no longer has it in its memory. skein explain --server asks the proxy that did."
        : plain(error.message, 300)));
    }
  }

  function close() {
    element.hidden = true;
    onclose();
  }

  return { element, show };
}

/** Time that no child of the span covers. */
function ownTime(row) {
  let covered = 0;
  let reached = row.start ?? 0;
  for (const child of [...row.children].filter((one) => one.start !== null).sort((a, b) => a.start - b.start)) {
    const from = Math.max(reached, child.start);
    const to = Math.min(row.end, child.end);
    if (to > from) {
      covered += to - from;
      reached = to;
    }
  }
  return Math.max(0, row.duration - covered);
}

const list = (rows) => h("dl", {}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

const endpoint = (one) => foreign([one.serviceName, [one.ipv4 ?? (one.ipv6 && `[${one.ipv6}]`), one.port].filter(Boolean).join(":")]
  .filter(Boolean).join(" at "), 200);

/** An address that is one can be followed; anything else is text. */
function tagValue(key, value) {
  const text = String(value);
  const shown = foreign(text, VALUE_MAX);
  if (key === "error") return h("span", { class: "bad" }, shown);
  return /^https?:\/\/[^\s<>"]{1,2000}$/.test(text) && /^(link|url|logs|docs)/i.test(key)
    ? h("a", { href: text, rel: "noreferrer noopener", target: "_blank" }, shown) : shown;
}
