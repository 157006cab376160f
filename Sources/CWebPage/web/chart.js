// Lines over time, with dots of single requests that open their trace.

import { h, plain, replace, s } from "./dom.js";
import { clock, number, ticks, timeTicks } from "./format.js";
import { hash } from "./location.js";

const HEIGHT = 190;
const LEFT = 56;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 22;
const COLOURS = 10;
// Beside the colour, how a line is broken tells which it is.
const DASHES = ["", "6 3", "2 3", "10 3 2 3", "4 4", "1 2"];
/** Series of one chart; further ones are counted. */
export const SERIES_MAX = 20;
const DOTS_MAX = 100;
// Dots that the keyboard stops at: the slowest.
const DOT_STOPS = 8;
// A dot beyond this many times the highest line stands at the upper edge, so that one does not press all lines flat.
const HEADROOM = 1.6;

/** A few pixels of a line; `points` are [seconds, value]. */
export function sparkline(points, label) {
  const width = 120;
  const height = 24;
  if (!points.length) return h("span", { class: "soft" }, "–");
  const top = Math.max(...points.map(([, value]) => value), 1e-9);
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  const path = points.map(([at, value], index) => {
    const x = (at - first) / Math.max(1, last - first) * (width - 4) + 2;
    return `${index ? "L" : "M"}${x.toFixed(1)} ${(height - 3 - value / top * (height - 6)).toFixed(1)}`;
  }).join("");
  return s("svg", { class: "spark", width, height, role: "img", "aria-label": `${label}: at most ${number(top)}` }, s("path", { d: path }));
}

/**
 * `{element, draw({series, from, to, dots}), end}`; seconds. `series`: `{name, points}`; `dots`: `{seconds, value, trace}`. `format` of a
 * value; `isShare`: values are shares near 1, whose axis need not begin at zero. The legend tells names and last values, and a moment's
 * under the pointer.
 */
export function chart({ label, format = number, isShare = false }) {
  const svg = s("svg", { class: "lines", height: HEIGHT, role: "img" });
  const legend = h("ul", { class: "legend chips" });
  const element = h("figure", { class: "chart" }, h("figcaption", {}, label), svg, legend);
  let data = { series: [], from: 0, to: 1, dots: [] };

  function draw() {
    const { from, to } = data;
    const shown = data.series.slice(0, SERIES_MAX);
    const width = Math.max(220, element.clientWidth || 500);
    const values = shown.flatMap((one) => one.points.map(([, value]) => value)).filter(Number.isFinite);
    const dots = data.dots.filter((dot) => dot.seconds >= from && dot.seconds <= to).sort((a, b) => b.value - a.value).slice(0, DOTS_MAX);
    const line = Math.max(...values, ...(values.length ? [] : [1]));
    const highest = isShare ? 1 : Math.max(line, Math.min(line * HEADROOM, ...dots.slice(0, 1).map((dot) => dot.value)));
    const lowest = isShare ? Math.max(0, Math.min(0.99, ...values) - 0.002) : Math.min(0, ...values);
    const top = isShare ? 1 : highest > lowest ? highest + (highest - lowest) * 0.05 : lowest + 1;
    const x = (at) => LEFT + (at - from) / Math.max(1, to - from) * (width - LEFT - RIGHT);
    const y = (value) => TOP + (top - Math.min(top, value)) / (top - lowest) * (HEIGHT - TOP - BOTTOM);
    svg.setAttribute("width", width);
    // A picture has nothing in it that could be opened.
    svg.setAttribute("role", dots.length ? "group" : "img");
    svg.setAttribute("aria-label", `${label}, ${clock(from * 1000)} to ${clock(to * 1000)}: `
      + shown.slice(0, 6).map((one) => `${plain(one.name, 60)} ${format(lastOf(one.points))}`).join(", "));
    replace(svg,
      ticks(lowest, top, 4).map((value) => [s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
        s("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value))]),
      timeTicks(from * 1000, to * 1000, Math.max(2, width / 110)).map(({ at, text }) =>
        s("text", { x: x(at / 1000), y: HEIGHT - 6, "text-anchor": "middle" }, text)),
      shown.map((one, index) => s("path", {
        class: "line", d: path(one.points, x, y), stroke: `var(--series-${index % COLOURS})`,
        "stroke-dasharray": DASHES[index % DASHES.length],
      })),
      dots.map((dot, index) => {
        const says = `Trace of ${format(dot.value)} at ${clock(dot.seconds * 1000)}`;
        const circle = s("circle", { class: "dot", cx: x(dot.seconds), cy: y(dot.value), r: 3.5 }, s("title", {}, says));
        return s("a", { href: hash("trace", dot.trace), "aria-label": says, tabindex: index < DOT_STOPS ? 0 : -1 }, circle);
      }));
    drawLegend(shown);
  }

  function drawLegend(shown, at = null) {
    replace(legend, shown.map((one, index) => h("li", { class: "chip" },
      s("svg", { width: 22, height: 8, "aria-hidden": "true" }, s("path", {
        class: "line", d: "M0 4H22", stroke: `var(--series-${index % COLOURS})`, "stroke-dasharray": DASHES[index % DASHES.length],
      })),
      h("bdi", {}, plain(one.name, 80)), h("b", { class: "num" }, format(at === null ? lastOf(one.points) : valueAt(one.points, at))))),
    data.series.length > SERIES_MAX && h("li", { class: "soft" }, `and ${data.series.length - SERIES_MAX} more`),
    at !== null && h("li", { class: "soft" }, `at ${clock(at * 1000)}`));
  }

  svg.addEventListener("pointermove", (event) => {
    const bounds = svg.getBoundingClientRect();
    const share = (event.clientX - bounds.left - LEFT) / (bounds.width - LEFT - RIGHT);
    if (share >= 0 && share <= 1) drawLegend(data.series.slice(0, SERIES_MAX), data.from + share * (data.to - data.from));
  });
  svg.addEventListener("pointerleave", () => drawLegend(data.series.slice(0, SERIES_MAX)));

  const observer = new ResizeObserver(draw);
  observer.observe(element);
  return {
    element,
    draw(next) {
      data = { dots: [], ...next };
      draw();
    },
    end: () => observer.disconnect(),
  };
}

/** A line that is broken where there is no value. */
function path(points, x, y) {
  let isOn = false;
  return points.map(([at, value]) => {
    if (!Number.isFinite(value)) {
      isOn = false;
      return "";
    }
    const part = `${isOn ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    const end = isOn ? "" : "h0.1";
    isOn = true;
    return part + end;
  }).join("");
}

const lastOf = (points) => points.findLast(([, value]) => Number.isFinite(value))?.[1] ?? NaN;

function valueAt(points, at) {
  let best = NaN;
  let distance = Infinity;
  for (const [seconds, value] of points) {
    if (Math.abs(seconds - at) < distance) {
      distance = Math.abs(seconds - at);
      best = value;
    }
  }
  return best;
}
