// The one line that says what is wrong with what is shown. A view keeps what it had; this says how old that is.

import { h, plain, replace } from "./dom.js";
import { clock } from "./format.js";

const place = document.getElementById("notice");
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
 * Calls `work(signal)` now and every `seconds` while the page is looked at, one at a time; says when it fails. Returns what ends it; with
 * `now()` it is called at once.
 */
export function repeat(work, seconds) {
  let controller = new AbortController();
  let timer = 0;
  let ended = false;
  async function turn() {
    clearTimeout(timer);
    controller.abort();
    const mine = (controller = new AbortController());
    try {
      if (!document.hidden) await work(mine.signal);
      if (!mine.signal.aborted) well();
    } catch (error) {
      if (!mine.signal.aborted) trouble(error);
    }
    if (!ended && mine === controller && seconds > 0) timer = setTimeout(turn, seconds * 1000);
  }
  const seen = () => { if (!document.hidden) turn(); };
  document.addEventListener("visibilitychange", seen);
  const end = () => {
    ended = true;
    clearTimeout(timer);
    controller.abort();
    document.removeEventListener("visibilitychange", seen);
  };
  end.now = turn;
  turn();
  return end;
}
