// The whole trace at a glance, above its rows: dragging chooses the part of the time that the rows show.

import { h } from "./dom.js";
import { duration } from "./format.js";

const HEIGHT = 56;
const COLOURS = 10;
const DRAG_MIN = 4;

/** `onview(from, to)`, microseconds; a click without dragging shows all of it again. */
export function minimap({ trace, onview }) {
  const canvas = h("canvas", { class: "minimap", role: "img", "aria-label": "Overview of the trace; the spans below say the same" });
  const from = h("input", { type: "number", min: 0, step: "any", size: 8, "aria-label": "Shown from, milliseconds" });
  const to = h("input", { type: "number", min: 0, step: "any", size: 8, "aria-label": "Shown to, milliseconds" });
  const all = h("button", { type: "button", onclick: () => onview(0, trace.duration) }, "All");
  const fields = h("form", { class: "viewfields script", onsubmit: typed }, "Show ", from, " to ", to, " ms ",
    h("button", {}, "Show"), all);
  const element = h("div", { class: "minibox" }, canvas, fields);
  let view = { from: 0, to: trace.duration };
  let drag = null;

  function draw() {
    const width = Math.max(100, element.clientWidth);
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = HEIGHT * ratio;
    canvas.style.setProperty("height", `${HEIGHT}px`);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const colours = Array.from({ length: COLOURS }, (_, index) => style.getPropertyValue(`--series-${index}`));
    const height = Math.max(1, Math.min(4, (HEIGHT - 4) / trace.rows.length));
    trace.rows.forEach((row, index) => {
      if (row.start === null) return;
      pen.fillStyle = row.isError ? style.getPropertyValue("--bad") : colours[trace.services.get(row.service) % COLOURS];
      const top = 2 + index * (HEIGHT - 4) / trace.rows.length;
      pen.fillRect(row.start / trace.duration * width, top, Math.max(1, row.duration / trace.duration * width), height);
    });
    const shown = drag ?? view;
    if (shown.from > 0 || shown.to < trace.duration) {
      pen.fillStyle = style.getPropertyValue("--soft");
      pen.globalAlpha = 0.3;
      pen.fillRect(0, 0, shown.from / trace.duration * width, HEIGHT);
      pen.fillRect(shown.to / trace.duration * width, 0, width, HEIGHT);
      pen.globalAlpha = 1;
    }
  }

  const at = (event) => {
    const bounds = canvas.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - bounds.left) / bounds.width)) * trace.duration;
  };
  let begun = 0;
  canvas.addEventListener("pointerdown", (event) => {
    begun = event.clientX;
    drag = { from: at(event), to: at(event), start: at(event) };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const now = at(event);
    drag = { ...drag, from: Math.min(drag.start, now), to: Math.max(drag.start, now) };
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const chosen = drag;
    drag = null;
    if (Math.abs(event.clientX - begun) < DRAG_MIN || chosen.to - chosen.from < 1) onview(0, trace.duration);
    else onview(chosen.from, chosen.to);
  });

  function typed(event) {
    event.preventDefault();
    const low = Math.max(0, Number(from.value) * 1000);
    const high = Math.min(trace.duration, Number(to.value) * 1000);
    if (high > low) onview(low, high);
  }

  const observer = new ResizeObserver(draw);
  observer.observe(element);
  // What is drawn has the colours of the moment it was drawn in.
  const themes = new MutationObserver(draw);
  themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", draw);
  return {
    element,
    draw,
    setView(next) {
      view = next;
      from.value = String(Math.round(view.from) / 1000);
      to.value = String(Math.round(view.to) / 1000);
      element.title = `${duration(view.from)} to ${duration(view.to)}`;
      draw();
    },
    end() {
      observer.disconnect();
      themes.disconnect();
      scheme.removeEventListener("change", draw);
    },
  };
}
