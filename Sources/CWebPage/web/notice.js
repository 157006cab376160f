// The one line that says what is wrong with what is shown. A view keeps what it had; this says how old that is.

import { h, plain, replace } from "./dom.js";
import { clock } from "./format.js";

const place = document.getElementById("notice");
// A page that nobody touches for this long is asked for less: milliseconds, and how many times longer it waits.
const CALM_AFTER = 120_000;
const CALM_FACTOR = 4;
let touched = Date.now();
const calmTurns = new Set();

/** Somebody is there again: what has waited long is brought up to date. */
function touch() {
  touched = Date.now();
  for (const turn of [...calmTurns]) turn();
}
for (const name of ["pointermove", "pointerdown", "keydown", "wheel"]) document.addEventListener(name, touch, { passive: true });

let since = 0;

/** Says that the server has no answer; what is shown stays. */
export function trouble(error) {
  if (error?.name === "AbortError") return;
  since ||= Date.now();
  const what = error?.status === 503 ? "The store is busy or not there" : "The server could not answer";
  const why = h("bdi", {}, plain(error?.message ?? error, 500));
  replace(place, h("p", { class: "trouble" }, h("b", {}, what), ` since ${clock(since)}: `, why, ". What is shown is from before."));
}

/** All is well again. */
export function well() {
  if (!since) return;
  since = 0;
  replace(place);
}

/**
 * Calls `work(signal)` now and every `seconds` while the page is looked at, one at a time, less often while nobody touches it; says when it
 * fails. Returns what ends it; with `now()` it is called at once.
 */
export function repeat(work, seconds) {
  let controller = new AbortController();
  let timer = 0;
  let ended = false;
  async function turn() {
    clearTimeout(timer);
    calmTurns.delete(turn);
    controller.abort();
    const mine = (controller = new AbortController());
    try {
      if (!document.hidden) await work(mine.signal);
      if (!mine.signal.aborted) well();
    } catch (error) {
      if (!mine.signal.aborted) trouble(error);
    }
    if (ended || mine !== controller || !(seconds > 0)) return;
    const isCalm = Date.now() - touched > CALM_AFTER;
    if (isCalm) calmTurns.add(turn);
    timer = setTimeout(turn, seconds * 1000 * (isCalm ? CALM_FACTOR : 1));
  }
  const seen = () => { if (!document.hidden) turn(); };
  document.addEventListener("visibilitychange", seen);
  const end = () => {
    ended = true;
    clearTimeout(timer);
    calmTurns.delete(turn);
    controller.abort();
    document.removeEventListener("visibilitychange", seen);
  };
  end.now = turn;
  turn();
  return end;
}
