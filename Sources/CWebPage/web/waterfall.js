// The rows of a trace: only those in sight exist as elements, so that thousands scroll as smoothly as ten.

import { foreign, h, replace } from "./dom.js";
import { duration, ticks } from "./format.js";
import { DEPTH_MAX, visible } from "./tree.js";

export const ROW_HEIGHT = 26;
const INDENT = 14;
// Rows kept above and below what is in sight.
const SPARE = 12;
const COLOURS = 10;
// Rows of a printed trace.
const PRINTED_MAX = 3000;

/** The mark of a service: its number in the colour of that number. */
export function mark(number) {
  return h("span", { class: "mark-box", style: { "--mark": `var(--series-${number % COLOURS})` } }, String(number + 1));
}

/**
 * `onselect(row)` when a row is chosen. `view` is the part of the time that is shown, microseconds: `{from, to}`. The element is one stop
 * of the keyboard; arrows move, left and right collapse and expand, Enter opens.
 */
export function waterfall({ trace, onselect, onview }) {
  let view = { from: 0, to: trace.duration };
  let path = new Map();
  let matches = null;
  let selected = null;
  let current = trace.rows[0] ?? null;
  const collapsed = new Set();
  let list = trace.rows;
  const axis = h("div", { class: "axis", "aria-hidden": "true" });
  const space = h("div", { class: "rows", role: "presentation" });
  const scroller = h("div", {
    class: "waterfall", role: "treegrid", tabindex: 0, "aria-label": "Spans; arrow keys move, left and right collapse and expand",
    "aria-rowcount": trace.rows.length, "aria-colcount": 2, onkeydown: key, onscroll: draw, ondblclick: () => show(0, trace.duration),
  }, space);
  const heading = h("div", { class: "fallhead" }, h("div", { class: "falltitle" }, "Service and span"), axis);
  const element = h("div", { class: "fallbox" }, heading, scroller);

  function layout() {
    list = visible(trace.rows, collapsed);
    list.forEach((row, place) => { row.place = place; });
    space.style.setProperty("height", `${list.length * ROW_HEIGHT}px`);
    scroller.style.setProperty("height", `${list.length * ROW_HEIGHT + 4}px`);
    draw();
  }

  function draw() {
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW_HEIGHT) - SPARE);
    const last = Math.min(list.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW_HEIGHT) + SPARE);
    replace(space, list.slice(first, last).map(drawRow));
    if (current && space.querySelector(`#row-${current.index}`)) scroller.setAttribute("aria-activedescendant", `row-${current.index}`);
    else scroller.removeAttribute("aria-activedescendant");
    const wanted = Math.max(2, Math.floor((axis.clientWidth || 600) / 110));
    replace(axis, ticks(view.from, view.to, wanted).map((at) => h("span", { style: { left: `${percent(at)}%` } }, duration(at))));
  }

  const percent = (at) => (at - view.from) / (view.to - view.from) * 100;

  function drawRow(row) {
    const number = trace.services.get(row.service);
    const isClosed = collapsed.has(row);
    const hasChildren = row.children.length > 0;
    const dimmed = matches && !matches.has(row);
    return h("div", {
      id: `row-${row.index}`, role: "row", "aria-level": row.depth + 1, "aria-rowindex": row.index + 1,
      "aria-selected": row === selected ? "true" : "false", "aria-expanded": hasChildren ? String(!isClosed) : null,
      class: ["row", row === current && "current", dimmed && "dimmed", matches?.has(row) && "match"].filter(Boolean).join(" "),
      style: { top: `${row.place * ROW_HEIGHT}px` }, onclick: (event) => click(event, row),
    },
    h("div", { class: "cell name", role: "gridcell", style: { "padding-left": `${Math.min(row.depth, DEPTH_MAX) * INDENT + 4}px` } },
      h("span", { class: hasChildren ? "fold" : "fold none", "aria-hidden": "true" }, hasChildren ? (isClosed ? "▸" : "▾") : ""),
      mark(number), h("span", { class: "label" }, h("b", {}, foreign(row.service || "(no service)", 60)), " ", foreign(row.name, 80)),
      row.isError && h("span", { class: "bad" }, "error"), isClosed && h("span", { class: "tag" }, `+${row.last - row.index}`)),
    h("div", { class: "cell lane", role: "gridcell" }, bar(row, number)));
  }

  function bar(row, number) {
    if (row.start === null) return h("span", { class: "soft" }, "no time");
    const left = Math.max(0, percent(row.start));
    const right = Math.min(100, percent(row.end));
    const took = duration(row.duration);
    if (right < 0 || left > 100) return h("span", { class: "soft beyond" }, right < 0 ? `◂ ${took}` : `${took} ▸`);
    const place = right < 80 ? { left: `${right}%` } : { right: `${Math.max(0, 100 - left)}%` };
    const label = h("span", { class: "took", style: place }, took);
    if (right >= 80 && left < 16) label.classList.add("inside");
    return [
      h("div", {
        class: row.isError ? "bar failed" : "bar", style: {
          left: `${left}%`, width: `${Math.max(0, right - left)}%`, "--mark": `var(--series-${number % COLOURS})`,
        },
      }),
      (path.get(row) ?? []).map((part) => {
        const begin = Math.max(0, percent(part.from));
        const width = Math.max(0, Math.min(100, percent(part.to)) - begin);
        return h("div", { class: "critical", style: { left: `${begin}%`, width: `${width}%` } });
      }),
      label,
    ];
  }

  function click(event, row) {
    current = row;
    if (event.target.closest(".fold:not(.none)")) toggle(row);
    else select(row);
  }

  function toggle(row, wanted = !collapsed.has(row)) {
    if (!row.children.length) return;
    if (wanted) collapsed.add(row);
    else collapsed.delete(row);
    layout();
  }

  function select(row) {
    current = row;
    selected = row;
    draw();
    onselect(row);
  }

  function key(event) {
    if (!current || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = current.place ?? 0;
    const page = Math.max(1, Math.floor(scroller.clientHeight / ROW_HEIGHT) - 1);
    const to = {
      ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page, Home: 0, End: list.length - 1,
    }[event.key];
    if (to !== undefined) move(list[Math.max(0, Math.min(list.length - 1, to))]);
    else if (event.key === "ArrowLeft") {
      if (current.children.length && !collapsed.has(current)) toggle(current, true);
      else if (current.parent) move(current.parent);
    } else if (event.key === "ArrowRight") toggle(current, false);
    else if (event.key === "Enter" || event.key === " ") select(current);
    else return;
    event.preventDefault();
  }

  function move(row) {
    current = row;
    reveal(row);
    draw();
  }

  /** Brings a row into sight, out of what hides it. */
  function reveal(row) {
    let isHidden = false;
    for (let above = row.parent; above; above = above.parent) isHidden = collapsed.delete(above) || isHidden;
    if (isHidden) layout();
    const top = row.place * ROW_HEIGHT;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + ROW_HEIGHT > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + ROW_HEIGHT - scroller.clientHeight;
  }

  function show(from, to) {
    view = { from, to };
    draw();
    onview?.(view);
  }

  // Paper does not scroll.
  const print = () => replace(space, list.slice(0, PRINTED_MAX).map(drawRow));
  window.addEventListener("beforeprint", print);
  window.addEventListener("afterprint", draw);
  const observer = new ResizeObserver(draw);
  observer.observe(scroller);
  return {
    element,
    start: layout,
    select(row) {
      reveal(row);
      select(row);
    },
    show,
    focus: () => scroller.focus(),
    setPath(segments) {
      path = new Map();
      for (const part of segments) path.set(part.row, [...(path.get(part.row) ?? []), part]);
      draw();
    },
    setMatches(rows) {
      matches = rows;
      draw();
    },
    collapseBelow(depth) {
      collapsed.clear();
      for (const row of trace.rows) if (row.children.length && row.depth >= depth) collapsed.add(row);
      if (current) for (let above = current.parent; above; above = above.parent) if (collapsed.has(above)) current = above;
      layout();
    },
    end() {
      observer.disconnect();
      window.removeEventListener("beforeprint", print);
      window.removeEventListener("afterprint", draw);
    },
  };
}
