// What `skein explain` says of a request, as a tree: each step, and under it the clauses and their verdicts.

import { h, plain } from "./dom.js";

/** Levels that are open at first. */
const OPEN_LEVELS = 2;

export function explanation(answer) {
  return h("div", { class: "explain" }, answer.steps.map((step) => node(step, 0)));
}

function node({ what, value, details }, level) {
  const line = [h("b", {}, plain(what, 120)), " ", h("bdi", {}, plain(value, 600)), verdict(value)];
  if (!details?.length) return h("div", { class: "leaf" }, line);
  return h("details", { open: level < OPEN_LEVELS }, h("summary", {}, line), details.map((one) => node(one, level + 1)));
}

function verdict(value) {
  const text = String(value ?? "");
  if (/(-> yes|: takes it|: allow)$/.test(text)) return h("span", { class: "tag good", "aria-hidden": "true" }, "✓");
  if (/(-> no|: no|: deny|: denied)$/.test(text)) return h("span", { class: "tag", "aria-hidden": "true" }, "✗");
  return null;
}
