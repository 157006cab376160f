// The search for traces: what its form, the address and the server's question have in common.

import { json } from "./api.js";
import { field, h, menu, plain, replace } from "./dom.js";
import { millis } from "./format.js";

export const RANGES = [["5m", "5 minutes"], ["15m", "15 minutes"], ["1h", "1 hour"], ["6h", "6 hours"], ["1d", "1 day"], ["7d", "7 days"]];
const LIMITS = ["20", "50", "100", "200", "500"];
const DEFAULTS = { range: "1h", limit: "100" };
// Names offered while one is written.
const NAMES_MAX = 500;

/** What is asked of the server, and the range of time: `{question, from, to, isLive}`, milliseconds. Throws where the address is wrong. */
export function question(parameters) {
  const given = { ...DEFAULTS, ...parameters };
  const isLive = !given.to;
  const to = isLive ? Date.now() : Number(given.to);
  const length = given.from && given.to ? to - Number(given.from) : millis(given.range);
  if (!(length > 0) || !Number.isFinite(to)) throw new Error(`the range of time cannot be read: ${given.range}`);
  const micros = (name, text) => {
    if (!text) return undefined;
    const value = /us|µs/.test(text) ? Number(text.replace(/\s*(us|µs)$/, "")) : millis(text) * 1000;
    if (!(value > 0)) throw new Error(`${name} is a duration such as 250ms or 1.5s, not ${text}`);
    return Math.round(value);
  };
  const least = micros("at least", given.min);
  const most = micros("at most", given.max);
  return {
    isLive, from: to - length, to,
    question: {
      serviceName: given.service, spanName: given.span, annotationQuery: given.tags, minDuration: least ?? (most ? 1 : undefined),
      maxDuration: most, status: given.status, text: given.text, errors: given.errors, limit: given.limit,
      // Without an end it is now, by the server's clock; the address stays the same, and what has not changed is not sent again.
      endTs: isLive ? undefined : Math.round(to), lookback: Math.max(1, Math.round(length)),
    },
  };
}

/** The form. `onsearch(parameters)` is called with what it says; what it does not show (an absolute range) is kept. */
export function form(onsearch) {
  let kept = {};
  const names = h("datalist", { id: "span-names" });
  const controls = {
    service: menu({}, [["", "any"]]),
    span: h("input", { list: "span-names", placeholder: "any", size: 18, autocomplete: "off" }),
    tags: h("input", { placeholder: "http.method=GET and error", size: 24, "data-search": true, spellcheck: "false" }),
    text: h("input", { placeholder: "in any name or tag", size: 14 }),
    status: h("input", { placeholder: "503, 5xx, 400-499", size: 12 }),
    min: h("input", { placeholder: "250ms", size: 6 }),
    max: h("input", { placeholder: "2s", size: 6 }),
    range: menu({}, RANGES),
    limit: menu({}, LIMITS),
    errors: h("input", { type: "checkbox" }),
  };
  const element = h("form", { class: "card form script", role: "search", "aria-label": "Search traces", onsubmit: submit },
    field("Service", controls.service), field("Span", controls.span), names, field("Tags", controls.tags, { class: "field grow" }),
    field("Text", controls.text), field("Status", controls.status), field("At least", controls.min), field("At most", controls.max),
    field("Within", controls.range), field("Traces", controls.limit),
    h("label", { class: "check" }, controls.errors, "errors only"),
    h("button", { class: "primary" }, "Search"));

  function submit(event) {
    event.preventDefault();
    const said = { ...kept };
    for (const [name, control] of Object.entries(controls)) {
      const value = control.type === "checkbox" ? (control.checked ? "true" : "") : control.value.trim();
      if (value && value !== DEFAULTS[name]) said[name] = value;
      else delete said[name];
    }
    if (event.submitter && controls.range.value !== "given") {
      delete said.from;
      delete said.to;
    }
    if (said.range === "given") delete said.range;
    onsearch(said);
  }

  controls.service.addEventListener("change", () => {
    controls.span.value = "";
    offerNames();
    element.requestSubmit();
  });
  for (const name of ["range", "limit", "errors"]) controls[name].addEventListener("change", () => element.requestSubmit());

  async function offerNames() {
    const service = controls.service.value;
    const found = service ? await json("api/v2/spans", { serviceName: service }).catch(() => []) : [];
    replace(names, found.slice(0, NAMES_MAX).map((name) => h("option", { value: name })));
  }

  return {
    element,
    /** Says what the address says. */
    show(parameters) {
      kept = { ...parameters };
      for (const [name, control] of Object.entries(controls)) {
        const value = parameters[name] ?? DEFAULTS[name] ?? "";
        if (control.type === "checkbox") control.checked = value === "true";
        else if (control.tagName === "SELECT") choose(control, value);
        else if (document.activeElement !== control) control.value = value;
      }
      const isGiven = Boolean(parameters.from && parameters.to);
      controls.range.querySelector("[value=given]")?.remove();
      if (isGiven) {
        controls.range.append(h("option", { value: "given" }, "the chosen time"));
        controls.range.value = "given";
      }
      offerNames();
    },
    /** No service is known: nobody has sent a span yet. */
    isEmpty: () => controls.service.options.length <= 1,
    async offerServices(signal) {
      const list = await json("api/v2/services", {}, signal);
      const now = controls.service.value;
      if (controls.service.options.length === list.length + 1) return;
      const options = list.slice(0, NAMES_MAX).map((name) => h("option", { value: name }, plain(name, 80)));
      replace(controls.service, h("option", { value: "" }, "any"), options);
      choose(controls.service, now);
    },
  };
}

/** A value that is not among the options is one all the same: the address says it. */
function choose(control, value) {
  if (![...control.options].some((option) => option.value === value)) control.append(h("option", { value }, plain(value, 80)));
  control.value = value;
}
