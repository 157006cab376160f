// Elements made by hand. Text is always text: nothing here, and nothing else of the page, parses HTML.

const SVG = "http://www.w3.org/2000/svg";
// Controls are invisible, and directional overrides reorder what stands around them.
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** An element: `h("a", {class: "x", href: url, onclick: f}, child, "text")`. Null, undefined and false are left out. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG's namespace. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Text by strangers without what cannot be seen, at most `max` characters. */
export function plain(text, max = 1000) {
  const shown = String(text ?? "").slice(0, max * 2).replace(INVISIBLE, "\ufffd");
  const characters = Array.from(shown);
  return characters.length > max || String(text ?? "").length > max * 2 ? characters.slice(0, max).join("") + "…" : shown;
}

/** A stranger's text, isolated from the direction of what stands beside it; cut off where it is long, the rest on hovering. */
export function foreign(text, max = 120) {
  const shown = plain(text, max);
  const element = h("bdi", { class: "foreign" }, shown);
  if (shown.endsWith("…")) element.title = plain(text, 2000);
  return element;
}

/** Puts children in the place of what is there. */
export function replace(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let fields = 0;

/** A label and its field. */
export function field(label, control, attributes = {}) {
  control.id ||= `field-${++fields}`;
  return h("div", { class: "field", ...attributes }, h("label", { for: control.id }, label), control);
}

/** A menu: `options` are values or [value, text]. */
export function menu(attributes, options, value) {
  const element = h("select", attributes, options.map((option) => {
    const [key, text] = Array.isArray(option) ? option : [option, option];
    return h("option", { value: key }, plain(text, 80));
  }));
  element.value = value ?? "";
  return element;
}
