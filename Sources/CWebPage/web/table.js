// A table that sorts by its columns, and whose rows are walked with the arrow keys where they have a link.

import { h, replace } from "./dom.js";

/**
 * `columns`: `{id, title, cell(row), value?(row), num?, wide?, down?}`; a column with `value` sorts, `down` the greatest first.
 * `sort` is `id` or `-id`. `draw(rows)` shows rows; a focused link is focused again when its row is still there.
 */
export function table({ label, columns, sort = "", onsort = () => {}, empty = "Nothing." }) {
  let order = sort;
  let rows = [];
  const head = h("tr", {});
  const body = h("tbody", { onkeydown: walk });
  const element = h("div", { class: "scroll" }, h("table", { "aria-label": label }, h("thead", {}, head), body));

  function drawHead() {
    replace(head, columns.map((column) => {
      const isUp = order === column.id;
      const isDown = order === `-${column.id}`;
      return h("th", {
        scope: "col", class: classes(column), "aria-sort": isUp ? "ascending" : isDown ? "descending" : null,
      }, column.value
        ? h("button", { type: "button", onclick: () => choose(column, isUp, isDown) }, column.title, isUp ? " ▴" : isDown ? " ▾" : "")
        : column.title || h("span", { class: "unseen" }, column.id));
    }));
  }

  function choose(column, isUp, isDown) {
    order = isDown ? column.id : isUp || column.down ? `-${column.id}` : column.id;
    onsort(order);
    drawHead();
    drawBody();
    [...head.querySelectorAll("button")].find((button) => button.textContent.startsWith(column.title))?.focus();
  }

  function sorted() {
    const column = columns.find((one) => one.value && (order === one.id || order === `-${one.id}`));
    if (!column) return rows;
    const sign = order.startsWith("-") ? -1 : 1;
    const keyed = rows.map((row, index) => [column.value(row), index, row]);
    keyed.sort(([a, i], [b, j]) => {
      const isText = typeof a === "string" || typeof b === "string";
      return sign * (isText ? String(a).localeCompare(String(b)) : Number(a ?? -Infinity) - Number(b ?? -Infinity) || 0) || i - j;
    });
    return keyed.map(([, , row]) => row);
  }

  function drawBody() {
    const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const list = sorted();
    replace(body, list.length === 0
      ? h("tr", {}, h("td", { colspan: columns.length, class: "empty" }, empty))
      : list.map((row) => h("tr", {}, columns.map((column) => h("td", { class: classes(column) }, column.cell(row))))));
    if (focused) [...body.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
  }

  function walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest?.("tr");
    if (!step || !row) return;
    const next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
    const target = next?.querySelector("a, button");
    if (target) {
      target.focus();
      event.preventDefault();
    }
  }

  drawHead();
  return {
    element,
    draw(list) {
      rows = list;
      drawBody();
    },
  };
}

const classes = (column) => [column.num && "num", column.wide && "wide", column.class].filter(Boolean).join(" ") || null;
