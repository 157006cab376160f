// The log as it happens, by server-sent events: what came while it was paused is kept and counted, and what is missing is said.

import { address, parseLines, Refusal } from "./api.js";
import { count } from "./format.js";

const AGAIN_MILLIS = 2000;
const EVENTS = "text/event-stream";

/** Why lines are missing, by the server's words. */
const WHY = {
  slow_follower: "more came at once than is sent",
  resumed_late: "overwritten before the connection was back",
  restarted: "the process was started again",
};

/**
 * Follows the log. `max`: lines kept, of those shown and of those that wait. Calls `changed()` when there is more to show,
 * `trouble(error)` when nothing comes and `well()` when it comes again. The browser comes back by itself with the last line's id, and is
 * given what it missed.
 */
export function liveLog(parameters, max, { changed, trouble, well }) {
  const log = { shown: [], waiting: [], waitingCount: 0, missing: "", isPaused: false, pause, close };
  const controller = new AbortController();
  let source = null;
  let timer = 0;

  function open() {
    source = new EventSource(address("skein/logs", parameters));
    source.onopen = () => { well(); changed(); };
    source.onmessage = (event) => add(parseLines(event.data)[0] ?? {});
    source.addEventListener("gap", (event) => miss(JSON.parse(event.data)));
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) refused();
      else trouble(new Refusal(0, "the live log broke off; it goes on when the server is back"));
    };
  }

  /** A browser does not say why it gave up: the same question, asked in another way, does. */
  async function refused() {
    let error = new Refusal(0, "the server does not answer");
    const asked = new AbortController();
    controller.signal.addEventListener("abort", () => asked.abort());
    try {
      const answer = await fetch(address("skein/logs", parameters), { headers: { Accept: EVENTS }, signal: asked.signal });
      error = answer.ok ? null : new Refusal(answer.status, (await answer.text()).slice(0, 2000).trim());
    } catch {
      // Said below.
    }
    asked.abort();
    if (controller.signal.aborted) return;
    if (error) trouble(error);
    if (error?.status !== 400) timer = setTimeout(open, AGAIN_MILLIS);
  }

  function add(line) {
    if (log.isPaused) log.waitingCount += 1;
    const place = log.isPaused ? log.waiting : log.shown;
    place.unshift(line);
    if (place.length > max) place.length = max;
    changed();
  }

  function miss({ reason, requests }) {
    const many = requests > 0 ? `up to ${count(requests)} lines` : "lines";
    log.missing = `${many} are missing: ${WHY[reason] ?? reason}`;
    changed();
  }

  function pause(isPaused) {
    log.isPaused = isPaused;
    if (isPaused) return;
    log.shown = [...log.waiting, ...log.shown].slice(0, max);
    log.waiting = [];
    log.waitingCount = 0;
  }

  function close() {
    controller.abort();
    clearTimeout(timer);
    source.close();
  }

  open();
  return log;
}
