// Numbers, times and sizes for people.

const three = (value) => (value < 10 ? 2 : value < 100 ? 1 : 0);
const trimmed = (value) => value.toFixed(three(Math.abs(value))).replace(/\.0+$|(\.\d*[1-9])0+$/, "$1");

/** `870 µs`, `12.4 ms`, `3.05 s` of microseconds. */
export function duration(micros) {
  if (!Number.isFinite(micros)) return "–";
  if (micros < 1000) return `${trimmed(micros)} µs`;
  if (micros < 1e6) return `${trimmed(micros / 1e3)} ms`;
  if (micros < 60e6) return `${trimmed(micros / 1e6)} s`;
  return `${Math.floor(micros / 60e6)} min ${Math.round((micros % 60e6) / 1e6)} s`;
}

/** `12,345` of a count. */
export const count = (value) => (Number.isFinite(value) ? Math.round(value).toLocaleString("en") : "–");

/** `1 service`, `2 services`. */
export const counted = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Three significant digits: a rate, a ratio. */
export function number(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.01) return value.toPrecision(2);
  if (size >= 1e9) return `${trimmed(value / 1e9)} G`;
  if (size >= 1e6) return `${trimmed(value / 1e6)} M`;
  if (size >= 10000) return `${trimmed(value / 1e3)} k`;
  return trimmed(value);
}

/** `99.95 %` of a share; never rounded up to 100 or down to 0. */
export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  if (share > 0.9999 && share < 1) return "> 99.99 %";
  if (share > 0 && share < 0.0001) return "< 0.01 %";
  return `${(share * 100).toFixed(share === 1 || share === 0 ? 0 : 2)} %`;
}

const two = (value) => String(value).padStart(2, "0");

/** `14:03:22.118` of milliseconds since 1970, in the browser's zone. */
export function clock(millis, withMillis = false) {
  const time = new Date(millis);
  const text = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return withMillis ? `${text}.${String(time.getMilliseconds()).padStart(3, "0")}` : text;
}

/** `2026-11-23 14:03:22` of milliseconds since 1970, in the browser's zone. */
export function date(millis) {
  const time = new Date(millis);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock(millis)}`;
}

/** `12 s`, `3 min`, `2 h`, `5 d` of milliseconds. */
export function span(millis) {
  const seconds = Math.max(0, Math.round(millis / 1000));
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** Milliseconds of `15m`, `2h`, `7d`, `90s`, `250ms`; null for anything else. */
export function millis(text) {
  const found = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(String(text ?? "").trim());
  return found ? Number(found[1]) * { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 }[found[2]] : null;
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

/** Round moments for an axis of time, about `wanted` of them: `[{at, text}]`, milliseconds, in the browser's zone. */
export function timeTicks(low, high, wanted) {
  const rough = (high - low) / 1000 / Math.max(1, wanted);
  const step = (TIME_STEPS.find((one) => one >= rough) ?? TIME_STEPS[TIME_STEPS.length - 1]) * 1000;
  const zone = new Date(high).getTimezoneOffset() * 60000;
  const list = [];
  for (let at = Math.ceil((low - zone) / step) * step + zone; at <= high && list.length < 50; at += step) {
    list.push({ at, text: step < 60000 ? clock(at) : step < 8.64e7 ? clock(at).slice(0, 5) : date(at).slice(5, 10) });
  }
  return list;
}

/** Round values from `low` to `high` for an axis, about `wanted` of them. */
export function ticks(low, high, wanted) {
  const range = high - low;
  if (!(range > 0) || !Number.isFinite(range)) return [low];
  const rough = range / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const list = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6 && list.length < 50; value += step) list.push(value);
  return list;
}
