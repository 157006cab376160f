// The configuration as it is loaded, what analyze finds in its files, and where a request would go.

import { get, json } from "./api.js";
import { lastChanges } from "./changes.js";
import { field, foreign, h, menu, plain, replace } from "./dom.js";
import { explanation } from "./explain.js";
import { count, span } from "./format.js";
import { lastLoad } from "./lastload.js";
import { go, hash } from "./location.js";
import { repeat } from "./notice.js";
import { table } from "./table.js";

const REFRESH_SECONDS = 15;
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

export const title = () => "Configuration";

export function mount(main, item, first) {
  let parameters = first;
  const state = h("section", { class: "card", "aria-label": "State" });
  const findings = table({ label: "Findings", columns: FINDINGS, empty: "Nothing was found: the files fit together." });
  const found = h("span", { class: "soft" });
  const resources = table({ label: "Resources", columns: RESOURCES, empty: "No resource fits." });
  const rules = table({
    label: "Rules", columns: RULES, sort: parameters.sort ?? "", empty: "No rule fits.",
    onsort: (sort) => go(hash("config", "", { ...parameters, sort }), { replacing: true }),
  });
  const filter = h("input", {
    type: "search", placeholder: "name, host or file", "aria-label": "Filter rules and resources", value: parameters.find ?? "",
  });
  filter.addEventListener("input", () => {
    go(hash("config", "", { ...parameters, find: filter.value.trim() }), { replacing: true });
  });
  const changes = lastChanges();
  const effect = lastLoad();
  const asked = explainForm((said) => go(hash("config", "", { ...parameters, ...said })));
  let routes = [];
  let read = [];
  main.append(
    h("div", { class: "head" }, h("h1", {}, "Configuration")), asked.element, state, changes.element, effect.element,
    h("section", { class: "card", "aria-label": "Findings" },
      h("div", { class: "head" }, h("h2", {}, "Findings in the files as they are now"), found), findings.element),
    h("section", { class: "card", "aria-label": "Rules" },
      h("div", { class: "head" }, h("h2", {}, "Rules in use"), filter), rules.element),
    h("section", { class: "card", "aria-label": "Resources" }, h("h2", {}, "Resources in the files as they are now"), resources.element));

  async function load(signal) {
    const [status, report, answer] = await Promise.all([
      json("skein/status", {}, signal), json("skein/findings", {}, signal), json("skein/routes", {}, signal),
    ]);
    replace(state, drawState(status, report));
    replace(found, `${count(report.errors)} errors, ${count(report.warnings)} warnings, ${count(report.infos)} infos`
      + (report.omitted ? `; ${count(report.omitted)} more were not kept` : "")
      + (report.suppressed ? `; ${count(report.suppressed)} suppressed` : ""));
    findings.draw(report.findings);
    routes = answer.routes;
    read = report.resources.map((one) => ({ ...one, findings: report.findings.filter((finding) => concerns(finding, one)).length }));
    drawFitting();
    await Promise.all([changes.load(signal), effect.load(signal)]);
  }

  function drawFitting() {
    const text = (parameters.find ?? "").toLowerCase();
    const has = (value) => String(value).toLowerCase().includes(text);
    const fits = (route) => [route.name, route.resource, route.position, ...route.hosts, ...route.targets].some(has);
    rules.draw(text ? routes.filter(fits) : routes);
    resources.draw(text ? read.filter((one) => [one.kind, one.namespace, one.name, one.file].some(has)) : read);
  }

  const refresh = repeat(load, REFRESH_SECONDS);
  asked.show(parameters);
  return {
    update(_, next) {
      parameters = next;
      if (document.activeElement !== filter) filter.value = parameters.find ?? "";
      asked.show(parameters);
      drawFitting();
    },
    unmount() {
      refresh();
      asked.end();
    },
  };
}

function drawState(status, report) {
  const { configuration } = status;
  const kinds = Object.entries(report.counts);
  return [
    h("h2", {}, "State"),
    h("dl", {},
      h("dt", {}, "In use"), h("dd", {}, `generation ${configuration.generation}; loads: ${count(configuration.reloads)}, `,
        configuration.reload_failures ? h("span", { class: "bad" }, `${count(configuration.reload_failures)} refused`) : "none refused",
        `; the process runs for ${span(parseInt(status.uptime_current_epoch, 10) * 1000)}`),
      h("dt", {}, "Node"), h("dd", {}, foreign(status.node.id || "beside no workload", 100)),
      h("dt", {}, "Files"), h("dd", {}, foreign(status.command_line_options.config || "none", 400)),
      h("dt", {}, "Resources"), h("dd", {}, kinds.length ? h("span", { class: "chips" }, kinds.map(([kind, number]) =>
        h("span", { class: "chip" }, plain(kind, 40), h("b", { class: "num" }, count(number))))) : "none")),
    configuration.last_error.length > 0 && h("div", { class: "wrong" }, h("span", { class: "bad" }, "the last load was refused"),
      " the one before is in use", h("pre", {}, configuration.last_error.map((line) => plain(line, 1000)).join("\n"))),
    configuration.not_enforced.length > 0 && h("div", { class: "wrong" }, h("span", { class: "bad" }, "not enforced"),
      h("pre", {}, configuration.not_enforced.map((line) => plain(line, 1000)).join("\n"))),
  ];
}

/** "Where would this request go": a form that the address says, and the answer. */
function explainForm(onask) {
  const controls = {
    url: h("input", { placeholder: "http://reviews:9080/reviews/1", size: 36, "data-search": true, spellcheck: "false", required: true }),
    method: menu({}, METHODS, "GET"),
    headers: h("input", { placeholder: "end-user: jason; x-team: a", size: 24, spellcheck: "false" }),
    principal: h("input", { placeholder: "cluster.local/ns/a/sa/b", size: 20, spellcheck: "false" }),
    source: h("input", { placeholder: "10.0.0.7", size: 12 }),
    seed: h("input", { placeholder: "1", size: 4, inputmode: "numeric" }),
    inbound: h("input", { type: "checkbox" }),
  };
  const answer = h("div", { role: "status" });
  let controller = new AbortController();
  let known = "";
  const form = h("form", { class: "form", onsubmit: submit }, field("Address", controls.url, { class: "field grow" }),
    field("Method", controls.method), field("Headers", controls.headers), field("Sender's principal", controls.principal),
    field("From address", controls.source), field("Draw", controls.seed), h("label", { class: "check" }, controls.inbound, "arriving here"),
    h("button", { class: "primary" }, "Explain"));
  const element = h("section", { class: "card script", "aria-label": "Where would a request go" },
    h("h2", {}, "Where would a request go"), form, answer);

  function submit(event) {
    event.preventDefault();
    known = "";
    onask(Object.fromEntries(Object.entries(controls).map(([name, control]) =>
      [name, control.type === "checkbox" ? (control.checked ? "1" : "") : control.value === "GET" ? "" : control.value.trim()])));
    show(lastSaid());
  }

  const lastSaid = () => Object.fromEntries(Object.entries(controls).map(([name, control]) =>
    [name, control.type === "checkbox" ? (control.checked ? "1" : "") : control.value.trim()]));

  async function show(said) {
    for (const [name, control] of Object.entries(controls)) {
      if (control.type === "checkbox") control.checked = Boolean(said[name]);
      else if (document.activeElement !== control) control.value = said[name] ?? (name === "method" ? "GET" : "");
    }
    const question = {
      url: said.url, method: said.method || "GET", principal: said.principal, "source-ip": said.source, seed: said.seed,
      inbound: said.inbound ? "true" : "", header: (said.headers ?? "").split(";").map((one) => one.trim()).filter(Boolean),
    };
    const now = JSON.stringify(question);
    if (now === known) return;
    known = now;
    controller.abort();
    controller = new AbortController();
    if (!said.url) {
      replace(answer);
      return;
    }
    try {
      replace(answer, explanation(await (await get("skein/explain", question, controller.signal)).json()));
    } catch (error) {
      if (error.name !== "AbortError") replace(answer, refusal(error));
    }
  }

  return { element, show, end: () => controller.abort() };
}

/** Nothing takes the request: the same tree, with why. */
function refusal(error) {
  try {
    return explanation(JSON.parse(error.message));
  } catch {
    return h("p", { class: "bad" }, plain(error.message, 500));
  }
}

const concerns = (finding, { kind, namespace, name }) =>
  finding.kind === kind && finding.namespace === namespace && finding.name === name;

const RESOURCES = [
  { id: "kind", title: "Kind", value: (one) => one.kind, cell: (one) => plain(one.kind, 40) },
  { id: "name", title: "Name", class: "root", value: (one) => `${one.namespace}/${one.name}`, cell: (one) => [
    h("b", {}, foreign(one.name, 80)), " ", h("span", { class: "soft" }, foreign(one.namespace, 60))] },
  { id: "findings", title: "Findings", num: true, down: true, value: (one) => one.findings, cell: (one) =>
    (one.findings ? h("span", { class: "tag warn" }, count(one.findings)) : h("span", { class: "soft" }, "0")) },
  { id: "place", title: "Place", wide: true, value: (one) => `${one.file}:${String(one.line).padStart(9)}`, cell: (one) =>
    h("span", { class: "mono" }, foreign(`${one.file}:${one.line}`, 160)) },
];

const FINDINGS = [
  { id: "severity", title: "Severity", cell: (one) =>
    h("span", { class: `tag ${one.severity === "error" ? "bad" : one.severity === "warning" ? "warn" : ""}` }, plain(one.severity, 20)) },
  { id: "code", title: "Code", wide: true, cell: (one) => h("span", { class: "mono" }, plain(one.code, 20)) },
  { id: "place", title: "Place", class: "root", cell: (one) =>
    h("span", { class: "mono" }, foreign(`${one.file}:${one.line}:${one.column}`, 160)) },
  { id: "message", title: "What", cell: (one) => [
    foreign(one.message, 600), one.hint && h("div", { class: "note" }, foreign(one.hint, 400))] },
];

const RULES = [
  { id: "name", title: "Rule", class: "root", value: (route) => route.name, cell: (route) => [h("b", {}, foreign(route.name, 60)),
    h("div", { class: "note" }, foreign(route.resource ? `${route.resource}, ${route.position}` : "no rule was written", 200))] },
  { id: "hosts", title: "Hosts", class: "root", value: ({ hosts }) => hosts[0] ?? "", cell: ({ hosts }) => [foreign(hosts[0] ?? "*", 60),
    hosts.length > 1 && h("span", { class: "soft", title: hosts.map((host) => plain(host, 80)).join("\n") }, ` +${hosts.length - 1}`)] },
  { id: "when", title: "When", wide: true, cell: (route) => foreign(route.matches.join(" or ") || "every request", 200) },
  { id: "to", title: "To", wide: true, cell: (route) => route.targets.map((target) => h("div", {}, foreign(target, 120))) },
  { id: "timeout", title: "Timeout", num: true, wide: true, value: (route) => route.timeout_ms, cell: (route) =>
    (route.timeout_ms ? `${count(route.timeout_ms)} ms` : "none") },
];
