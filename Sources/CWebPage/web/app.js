// The page's frame: which view is shown, its keys, the colours, the field for a trace's id. A view is loaded when it is first looked at.

import { root } from "./api.js";
import { h, replace } from "./dom.js";
import "./hints.js";
import { go, hash, parse, traceID } from "./location.js";
import { trouble } from "./notice.js";

// Each module has `title(item)` and `mount(main, item, parameters)`, which returns `{update?(item, parameters), unmount()}`.
const VIEWS = {
  overview: { name: "Overview", key: "o", load: () => import("./overview.js") },
  graph: { name: "Graph", key: "r", load: () => import("./graph.js") },
  traces: { name: "Traces", key: "t", load: () => import("./traces.js") },
  compare: { name: "Compare", key: "m", load: () => import("./compare.js") },
  logs: { name: "Logs", key: "l", load: () => import("./logs.js") },
  config: { name: "Configuration", key: "c", load: () => import("./config.js") },
  ask: { name: "Ask", key: "a", load: () => import("./ask.js") },
  service: { load: () => import("./service.js"), under: "overview" },
  beside: { load: () => import("./twotraces.js"), under: "traces" },
  trace: { load: () => import("./trace.js"), under: "traces" },
};
const FIRST = "traces";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
let shown = { view: "", item: "", mounted: null };
let turn = 0;

function drawNavigation() {
  replace(nav, Object.entries(VIEWS).filter(([, view]) => view.name).map(([id, view]) =>
    h("a", { href: hash(id), id: `to-${id}`, title: `${view.name} (g ${view.key})` }, view.name)));
}

async function show() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const target = parse(location.hash);
  const id = VIEWS[target.view] ? target.view : FIRST;
  const view = VIEWS[id];
  for (const link of nav.children) {
    if (link.id === `to-${view.under ?? id}`) {
      link.setAttribute("aria-current", "page");
      nav.scrollLeft = link.offsetLeft - nav.offsetLeft - 16;
    } else link.removeAttribute("aria-current");
  }
  if (shown.view === id && shown.item === target.item && shown.mounted?.update) {
    shown.mounted.update(target.item, target.parameters);
    return;
  }
  const mine = ++turn;
  try {
    const module = await view.load();
    if (mine !== turn) return;
    shown.mounted?.unmount();
    const isFirst = !shown.view;
    replace(main);
    document.title = `${module.title(target.item)} – Skein`;
    shown = { view: id, item: target.item, mounted: null };
    shown.mounted = module.mount(main, target.item, target.parameters);
    if (!isFirst) main.focus({ preventScroll: true });
    scrollTo(0, 0);
  } catch (error) {
    trouble(error);
    replace(main, h("p", { class: "empty" }, "This view could not be loaded: ", String(error.message), ". Load the page again."));
  }
}

// Colours: as the system has them, light, dark.
const THEMES = ["", "light", "dark"];
const themeButton = document.getElementById("theme");
function nameTheme() {
  const now = document.documentElement.dataset.theme ?? "";
  const text = `Colours: ${now || "as the system has them"}`;
  themeButton.setAttribute("aria-label", text);
  themeButton.title = text;
  themeButton.textContent = { "": "◐", light: "☀", dark: "☾" }[now];
}
themeButton.addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("skein-theme", next);
  } catch {
    // Kept for as long as the page is open.
  }
  nameTheme();
});

// A trace's id: in its field, or pasted anywhere where nothing is written.
const find = document.getElementById("find");
const findText = document.getElementById("find-text");
find.addEventListener("submit", (event) => {
  event.preventDefault();
  const id = traceID(findText.value);
  findText.setCustomValidity(id ? "" : "A trace's id has 16 to 32 hexadecimal digits");
  if (!id) {
    findText.reportValidity();
    return;
  }
  findText.value = "";
  go(hash("trace", id));
});
findText.addEventListener("input", () => findText.setCustomValidity(""));
const isWriting = (element) => element instanceof HTMLElement && element.matches("input, textarea, select, [contenteditable]");
document.addEventListener("paste", (event) => {
  if (isWriting(event.target)) return;
  const id = traceID(event.clipboardData?.getData("text"));
  if (id) go(hash("trace", id));
});

// Keys: `/` the search of the view, `g` and a letter another view, `?` this list.
let isGoing = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target)) return;
  if (isGoing) {
    isGoing = false;
    const found = Object.entries(VIEWS).find(([, view]) => view.key === event.key);
    if (found) {
      go(hash(found[0]));
      event.preventDefault();
    }
    return;
  }
  if (event.key === "g") isGoing = true;
  else if (event.key === "/") {
    (main.querySelector("[data-search]") ?? findText).focus();
    event.preventDefault();
  } else if (event.key === "?") showKeys();
});

function showKeys() {
  const views = Object.values(VIEWS).filter((view) => view.name).map((view) => [`g ${view.key}`, view.name]);
  const rows = [
    ["/", "search in this view"], ["?", "this list"], ...views, ["↑ ↓ Enter", "move through a table or a trace, open"],
    ["← →", "collapse, expand a span"],
  ];
  const dialog = h("dialog", { class: "keys", "aria-label": "Keys", onclose: () => dialog.remove() }, h("h2", {}, "Keys"),
    h("dl", {}, rows.map(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)])),
    h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

// An address of Zipkin's is one of this page's: `/zipkin/traces/ID` and `/zipkin/?serviceName=…`.
const given = /\/zipkin\/traces\/([0-9a-f]{1,32})$/.exec(location.pathname);
if (given) history.replaceState(null, "", root.href + (location.hash.startsWith("#/") ? location.hash : hash("trace", given[1])));
else if (location.search && !location.hash.startsWith("#/")) {
  const asked = new URLSearchParams(location.search);
  const lookback = Number(asked.get("lookback"));
  history.replaceState(null, "", location.pathname + hash("traces", "", {
    service: asked.get("serviceName"), span: asked.get("spanName"), tags: asked.get("annotationQuery"),
    min: asked.get("minDuration") ? `${asked.get("minDuration")}us` : "", limit: asked.get("limit"),
    range: lookback > 0 ? `${Math.ceil(lookback / 60000)}m` : "",
  }));
}

nameTheme();
drawNavigation();
window.addEventListener("hashchange", show);
show();
