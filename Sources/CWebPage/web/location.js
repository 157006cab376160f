// What is looked at, as the part of the address behind `#`: `#/VIEW/ITEM?name=value`. It is all the state there is, so an address can be
// sent to a colleague, and works below every prefix.

/** `{view, item, parameters}` of an address' hash; an unknown shape is the first view. */
export function parse(hash) {
  const found = /^#\/([a-z]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(hash);
  if (!found) return { view: "", item: "", parameters: {} };
  const parameters = {};
  for (const [name, value] of new URLSearchParams(found[3] ?? "")) parameters[name] = value;
  let item = found[2] ?? "";
  try {
    item = decodeURIComponent(item);
  } catch {
    // A per cent sign that stands for itself.
  }
  return { view: found[1], item, parameters };
}

/** The hash of a view. Empty parameters are left out. */
export function hash(view, item = "", parameters = {}) {
  const list = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") list.set(name, value);
  }
  const text = list.toString();
  return `#/${view}${item ? "/" + encodeURIComponent(item) : ""}${text ? "?" + text : ""}`;
}

/** Goes there; `replacing` leaves no step behind to go back to. */
export function go(target, { replacing = false } = {}) {
  if (location.hash === target) return;
  if (replacing) {
    history.replaceState(null, "", target);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = target;
  }
}

/** A trace's id as it is pasted: 16 to 32 hexadecimal digits, perhaps inside a `traceparent`, a `b3` or an address; null for others. */
export function traceID(text) {
  const trimmed = String(text ?? "").trim();
  const parent = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/i.exec(trimmed);
  const single = /^([0-9a-f]{16,32})(?:-[0-9a-f]{16}(?:-[01d])?)?$/i.exec(trimmed);
  const address = /\/traces?\/([0-9a-f]{1,32})(?:[?#/]|$)/i.exec(trimmed);
  const found = parent ?? single ?? address;
  return found ? found[1].toLowerCase() : null;
}
