// Durations over time: one mark for each trace, round where it went well and a cross where it did not. A click opens one, dragging a box
// chooses some. The table beside it says the same to whoever uses no pointer.

import { h, replace, s } from "./dom.js";
import { duration, timeTicks } from "./format.js";

const HEIGHT = 168;
const LEFT = 56;
const RIGHT = 12;
const TOP = 8;
const BOTTOM = 22;
// A press that moves less is a click.
const DRAG_MIN = 5;

/** Round values between two powers of ten; with the half steps where there are few. */
function decades(bottom, top) {
  const steps = top - bottom > 3 ? [1] : top - bottom > 1.5 ? [1, 3] : [1, 2, 5];
  const list = [];
  for (let power = Math.floor(bottom); power <= top; power += 1) list.push(...steps.map((step) => step * 10 ** power));
  return list.filter((value) => Math.log10(value) >= bottom - 1e-9 && Math.log10(value) <= top + 1e-9);
}

/** `points`: `{x: millis, y: micros, isBad, id, title}`. `onbox({from, to, least, most})` gets what a box covers. */
export function scatter({ onopen, onbox }) {
  const svg = s("svg", { role: "img", class: "scatter", height: HEIGHT });
  const element = h("div", { class: "chart" }, svg);
  let points = [];
  let range = [0, 1];
  let box = null;
  let from = null;

  function scales() {
    const width = Math.max(200, element.clientWidth || 600);
    const values = points.map((point) => Math.max(1, point.y));
    const low = Math.log10(Math.min(...values, 1e9));
    const high = Math.log10(Math.max(...values, 1));
    const bottom = points.length ? Math.floor(low * 2) / 2 : 3;
    const top = points.length ? Math.max(bottom + 0.5, Math.ceil(high * 2) / 2) : 5;
    const [x0, x1] = range;
    return {
      width, bottom, top,
      x: (at) => LEFT + (at - x0) / Math.max(1, x1 - x0) * (width - LEFT - RIGHT),
      y: (micros) => TOP + (top - Math.log10(Math.max(1, micros))) / (top - bottom) * (HEIGHT - TOP - BOTTOM),
      time: (px) => x0 + (px - LEFT) / (width - LEFT - RIGHT) * (x1 - x0),
      micros: (px) => 10 ** (top - (px - TOP) / (HEIGHT - TOP - BOTTOM) * (top - bottom)),
    };
  }

  function draw() {
    const scale = scales();
    svg.setAttribute("width", scale.width);
    svg.setAttribute("aria-label", `Durations of ${points.length} traces over time; the table below lists them`);
    const rows = [];
    for (const micros of decades(scale.bottom, scale.top)) {
      const y = scale.y(micros);
      rows.push(s("line", { class: "grid", x1: LEFT, x2: scale.width - RIGHT, y1: y, y2: y }),
        s("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, duration(micros)));
    }
    const columns = timeTicks(range[0], range[1], Math.max(2, scale.width / 140)).map(({ at, text }) =>
      s("text", { x: scale.x(at), y: HEIGHT - 6, "text-anchor": "middle" }, text));
    const marks = points.map((point) => {
      const [x, y] = [scale.x(point.x), scale.y(point.y)];
      const shape = point.isBad
        ? s("path", { class: "mark bad-mark", d: `M${x - 4} ${y - 4}l8 8m0 -8l-8 8` })
        : s("circle", { class: "mark", cx: x, cy: y, r: 3.5 });
      shape.append(s("title", {}, point.title));
      shape.dataset.id = point.id;
      return shape;
    });
    replace(svg, rows, columns, marks, box && s("rect", {
      class: "box", x: Math.min(box.x0, box.x1), y: Math.min(box.y0, box.y1), width: Math.abs(box.x1 - box.x0),
      height: Math.abs(box.y1 - box.y0),
    }));
  }

  const place = (event) => {
    const bounds = svg.getBoundingClientRect();
    return [event.clientX - bounds.left, event.clientY - bounds.top];
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [x, y] = place(event);
    from = { x, y, id: event.target.dataset?.id };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [x, y] = place(event);
    if (!box && Math.hypot(x - from.x, y - from.y) < DRAG_MIN) return;
    box = { x0: from.x, y0: from.y, x1: x, y1: y };
    draw();
  });
  svg.addEventListener("pointerup", () => {
    if (!from) return;
    const start = from;
    from = null;
    if (!box) {
      if (start.id) onopen(start.id);
      return;
    }
    const scale = scales();
    onbox({
      from: Math.floor(scale.time(Math.min(box.x0, box.x1))), to: Math.ceil(scale.time(Math.max(box.x0, box.x1))),
      least: Math.floor(scale.micros(Math.max(box.y0, box.y1))), most: Math.ceil(scale.micros(Math.min(box.y0, box.y1))),
    });
  });
  svg.addEventListener("pointercancel", () => {
    from = null;
    box = null;
    draw();
  });

  const observer = new ResizeObserver(draw);
  observer.observe(element);
  return {
    element,
    draw(list, first, last) {
      points = list;
      range = [first, last];
      if (!from) draw();
    },
    clearBox() {
      box = null;
      draw();
    },
    end: () => observer.disconnect(),
  };
}
