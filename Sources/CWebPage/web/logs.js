// The access log that this process keeps in memory: filters, live with a pause, and from a line to its trace.

import { lines } from "./api.js";
import { field, foreign, h, menu, plain, replace } from "./dom.js";
import { clock, count, date, duration } from "./format.js";
import { liveLog } from "./livelog.js";
import { go, hash } from "./location.js";
import { trouble, well } from "./notice.js";
import { table } from "./table.js";
import { status } from "./traces.js";

/** Lines shown; a live log drops the oldest. */
const LINES_MAX = 300;
// Lines that came are drawn so often at most, however many they are.
const DRAW_MILLIS = 400;

/** Name in the address, name of the server's parameter, label, what stands in an empty field, its size. */
const FILTERS = [
  ["status", "status", "Status", "503, 5xx, 400-499", 12], ["flag", "flag", "Flag", "UF, UH, RL…", 8],
  ["method", "method", "Method", "GET", 6],
  ["path", "path", "Path begins with", "/api", 16], ["cluster", "cluster", "Cluster has", "reviews", 16],
  ["host", "host", "Host", "web.local", 14], ["route", "route", "Route", "canary", 10], ["min", "min-duration", "At least", "250ms", 6],
  ["request", "request-id", "Request id", "", 14], ["trace", "trace-id", "Trace id", "", 14],
];

export const title = () => "Logs";

export function mount(main, item, first) {
  let parameters = first;
  let controller = new AbortController();
  let drawing = 0;
  let followed = null;
  let shown = [];
  const controls = Object.fromEntries(FILTERS.map(([name, , , hint, size]) =>
    [name, h("input", { placeholder: hint, size, spellcheck: "false", "data-search": name === "path" })]));
  const side = menu({}, [["", "both"], ["outbound", "outbound"], ["inbound", "inbound"]]);
  const live = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    go(hash("logs", "", { ...parameters, live: parameters.live ? "" : "1" }));
  } }, "Live");
  const pause = h("button", { type: "button", hidden: true, onclick: () => {
    followed?.pause(!followed.isPaused);
    draw();
  } }, "Pause");
  const form = h("form", { class: "card form script", role: "search", "aria-label": "Filter the log", onsubmit: submit },
    FILTERS.map(([name, , label]) => field(label, controls[name])), field("Side", side),
    h("button", { class: "primary" }, "Filter"), live, pause);
  const summary = h("span", { class: "soft", role: "status" }, "…");
  const list = table({ label: "Log lines, newest first", columns: COLUMNS, empty: "No line fits, of those that this process keeps." });
  main.append(h("div", { class: "head" }, h("h1", {}, "Logs"), summary), form,
    h("section", { class: "card", "aria-label": "Lines" }, list.element));

  function submit(event) {
    event.preventDefault();
    const said = { live: parameters.live, side: side.value };
    for (const [name] of FILTERS) said[name] = controls[name].value.trim();
    if (hash("logs", "", said) === location.hash) load();
    else go(hash("logs", "", said));
  }

  function question() {
    const asked = { format: "traced", limit: LINES_MAX, side: parameters.side };
    for (const [name, parameter] of FILTERS) asked[parameter] = parameters[name];
    return asked;
  }

  async function load() {
    stop();
    const mine = (controller = new AbortController());
    for (const [name] of FILTERS) controls[name].value = parameters[name] ?? "";
    side.value = parameters.side ?? "";
    live.setAttribute("aria-pressed", String(Boolean(parameters.live)));
    pause.hidden = !parameters.live;
    if (parameters.live) {
      shown = [];
      followed = liveLog(question(), LINES_MAX, { changed: drawSoon, trouble: say, well });
      return draw();
    }
    try {
      shown = (await lines("skein/logs", question(), mine.signal)).reverse();
      well();
      draw();
    } catch (error) {
      if (!mine.signal.aborted) say(error);
    }
  }

  function say(error) {
    if (error.status === 400) replace(summary, plain(error.message, 300));
    else trouble(error);
  }

  function drawSoon() { drawing ||= setTimeout(draw, DRAW_MILLIS); }

  function draw() {
    clearTimeout(drawing);
    drawing = 0;
    if (followed) shown = followed.shown;
    const when = parameters.live ? "live, the newest" : "the newest that fit";
    const said = [`${count(shown.length)} lines${shown.length >= LINES_MAX ? `, ${when}` : ""}; this process's own requests`];
    if (followed?.isPaused) said.push(`paused, ${count(followed.waitingCount)} more since`);
    if (followed?.missing) said.push(followed.missing);
    replace(summary, said.join("; "));
    pause.textContent = followed?.isPaused ? "Go on" : "Pause";
    list.draw(shown);
  }

  function stop() {
    controller.abort();
    followed?.close();
    followed = null;
    clearTimeout(drawing);
    drawing = 0;
  }

  load();
  return {
    update(_, next) {
      const isSame = JSON.stringify(next) === JSON.stringify(parameters);
      parameters = next;
      if (!isSame) load();
    },
    unmount: stop,
  };
}

const flags = (line) => (line.response_flags && line.response_flags !== "-" ? line.response_flags : "");

/** `reviews v1` of `outbound|9080|v1|reviews.bookinfo…`. */
function cluster(name) {
  const parts = String(name ?? "").split("|");
  return parts.length === 4 && parts[3] ? [parts[3], parts[2]].filter(Boolean).join(" ") : name;
}

const COLUMNS = [
  { id: "time", title: "Time", class: "time", cell: (line) => h("time", { title: date(Date.parse(line.start_time)) },
    clock(Date.parse(line.start_time), true)) },
  { id: "status", title: "Status", cell: (line) => [status(String(line.response_code)), " ", flags(line) && h("span", {
    class: "tag bad", title: plain(line.response_code_details, 200) }, plain(flags(line), 40))] },
  { id: "method", title: "Method", wide: true, cell: (line) => foreign(line.method, 16) },
  { id: "path", title: "Path", class: "path", cell: (line) => (line.trace_id
    ? h("a", { href: hash("trace", line.trace_id, { span: line.span_id }) }, foreign(line.path || "(no path)", 100))
    : foreign(line.path, 100)) },
  { id: "host", title: "Host", wide: true, cell: (line) => foreign(line.authority, 60) },
  { id: "cluster", title: "To", wide: true, cell: (line) => [foreign(cluster(line.upstream_cluster), 60), " ",
    h("span", { class: "soft mono" }, plain(line.upstream_host, 60))] },
  { id: "route", title: "Route", wide: true, cell: (line) => foreign(line.route_name, 40) },
  { id: "why", title: "Why", wide: true, cell: (line) => (line.response_code_details === "via_upstream"
    ? "" : foreign(line.response_code_details, 60)) },
  { id: "duration", title: "Duration", num: true, cell: (line) => (line.duration === null ? "–" : duration(line.duration * 1000)) },
];
