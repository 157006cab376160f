// What the page asks the server: reads alone, always below the place where the page stands.

/** Where the page stands: a document may be deeper than its interfaces, and below any prefix. */
export const root = new URL(document.documentElement.dataset.root, location.href);

/** Why a question has no answer: `status` of HTTP, 0 where the server did not answer at all. */
export class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** The address of an interface; empty parameters are left out, a list is given once for each of its values. */
export function address(path, parameters = {}) {
  const url = new URL(path, root);
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") url.searchParams.append(name, one);
    }
  }
  return url;
}

/** A GET; the answer when its status is 2xx. Throws `Refusal`, and what aborting throws. */
export async function get(path, parameters, signal) {
  let answer;
  try {
    answer = await fetch(address(path, parameters), { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "the server does not answer");
  }
  if (answer.ok) return answer;
  throw new Refusal(answer.status, await reason(answer));
}

/** Prometheus says why in JSON, all others in text. */
async function reason(answer) {
  const text = (await answer.text().catch(() => "")).slice(0, 2000).trim();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text || `the server answers ${answer.status}`;
  }
}

export const json = async (path, parameters, signal) => (await get(path, parameters, signal)).json();

/** Lines of JSON, as the log answers; a line that cannot be read is left out and counted in `.unreadable`. */
export async function lines(path, parameters, signal) {
  return parseLines(await (await get(path, parameters, signal)).text());
}

export function parseLines(text) {
  const list = [];
  list.unreadable = 0;
  for (const line of text.split("\n")) {
    if (!line) continue;
    try {
      list.push(JSON.parse(line));
    } catch {
      list.unreadable += 1;
    }
  }
  return list;
}

/** The series of a PromQL query at a moment: `[{labels, value}]`. */
export async function query(text, signal, time) {
  const { data } = await json("api/v1/query", { query: text, time }, signal);
  if (data.resultType === "scalar") return [{ labels: {}, value: Number(data.result[1]) }];
  return data.result.filter((one) => one.value).map((one) => ({ labels: one.metric, value: Number(one.value[1]) }));
}

/** The series of a PromQL query over time, seconds since 1970: `[{labels, points: [[seconds, value]]}]`. */
export async function queryRange(text, start, end, step, signal) {
  const { data } = await json("api/v1/query_range", { query: text, start, end, step }, signal);
  return data.result.filter((one) => one.values)
    .map((one) => ({ labels: one.metric, points: one.values.map(([at, value]) => [at, Number(value)]) }));
}

/** Exemplars that name a trace: `[{seconds, value, trace}]`. */
export async function exemplars(text, start, end, signal) {
  const { data } = await json("api/v1/query_exemplars", { query: text, start, end }, signal);
  return data.flatMap((series) => series.exemplars.map((one) => ({
    seconds: Number(one.timestamp), value: Number(one.value), trace: one.labels.trace_id ?? one.labels.traceID ?? "",
  }))).filter((one) => one.trace);
}
