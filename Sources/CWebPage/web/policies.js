// Which policies apply to a service, and where they are written: who may connect, whose tokens are good, who may do what, how often.

import { json } from "./api.js";
import { foreign, h, plain, replace } from "./dom.js";
import { count } from "./format.js";
import { table } from "./table.js";

/** `{element, load(signal)}` of a service's host. */
export function servicePolicies(service) {
  const said = h("span", { class: "soft", role: "status" });
  const list = table({ label: "Policies", columns: COLUMNS, empty: "No policy speaks for it: plaintext and every request are taken." });
  const element = h("section", { class: "card", "aria-label": "Policies" },
    h("div", { class: "head" }, h("h2", {}, "Policies that apply"), said), list.element);

  async function load(signal) {
    const found = await json("skein/policies", { service }, signal);
    const whole = found.workloads;
    replace(said, whole > 0 ? `${count(whole)} workloads; what no rule matches is ${found.unmatched}` : "no workload of it is known here",
      found.omitted ? `; ${count(found.omitted)} more are not listed` : "");
    list.draw(found.policies.map((one) => ({ ...one, whole })));
  }

  return { element, load };
}

const COLUMNS = [
  { id: "name", title: "Policy", class: "root", value: (one) => one.name, cell: (one) => [h("b", {}, foreign(one.name, 80)), " ",
    h("span", { class: "soft" }, plain(one.kind, 40)), h("div", { class: "note mono" }, foreign(one.position, 200))] },
  { id: "effect", title: "What it says", cell: (one) => foreign(one.effect, 300) },
  { id: "scope", title: "For", wide: true, cell: (one) => foreign(one.scope, 200) },
  { id: "workloads", title: "Workloads", num: true, wide: true, cell: (one) =>
    (one.workloads === null ? "" : one.workloads === one.whole ? "all" : `${count(one.workloads)} of ${count(one.whole)}`) },
];
