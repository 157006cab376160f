// Which resources the last load added, removed and changed, and which of their fields and rules.

import { json } from "./api.js";
import { foreign, h, plain, replace } from "./dom.js";
import { count } from "./format.js";
import { table } from "./table.js";

/** `{element, load(signal)}`. */
export function lastChanges() {
  const said = h("span", { class: "soft", role: "status" });
  const list = table({ label: "Changes of the last load", columns: COLUMNS, empty: "No resource says anything else than before it." });
  const element = h("section", { class: "card", "aria-label": "What the last load changed" },
    h("div", { class: "head" }, h("h2", {}, "What the last load changed"), said), list.element);

  async function load(signal) {
    const found = await json("skein/changes", {}, signal);
    element.hidden = found.loads < 2;
    replace(said, `${count(found.added)} added, ${count(found.removed)} removed, ${count(found.changed)} changed`,
      found.omitted ? `; ${count(found.omitted)} more are not listed` : "");
    list.draw(found.changes);
  }

  return { element, load };
}

const MARKS = { added: "good", removed: "bad", changed: "warn" };
const mark = (change) => h("span", { class: `tag ${MARKS[change] ?? ""}` }, plain(change, 20));

const COLUMNS = [
  { id: "change", title: "Change", value: (one) => one.change, cell: (one) => mark(one.change) },
  { id: "name", title: "Resource", class: "root", value: (one) => `${one.kind} ${one.namespace}/${one.name}`, cell: (one) => [
    h("b", {}, foreign(one.name, 80)), " ", h("span", { class: "soft" }, plain(one.kind, 40), " ", foreign(one.namespace, 60)),
    h("div", { class: "note mono" }, foreign(`${one.file}:${one.line}`, 200), one.change === "removed" ? " before" : "")] },
  { id: "what", title: "What of it", cell: (one) => [
    one.fields.length > 0 && h("div", { class: "mono" }, foreign(one.fields.join(", "), 300)),
    one.rules.map((rule) => h("div", {}, mark(rule.change), " ", foreign(rule.name, 100), " ",
      h("span", { class: "soft" }, `line ${rule.line}`, rule.change === "removed" ? " before" : ""))),
    one.reordered && h("div", {}, "rules stand in another order: another may be the first that fits")] },
];
