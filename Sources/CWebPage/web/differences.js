// Attributes of some traces against those of others, ranked by how unlikely chance is to make such a difference. Pure.

// Tags that have another value in nearly every trace tell nothing.
const VALUES_SHARE_MAX = 0.6;
const VALUES_MIN = 12;
const VALUE_MAX = 300;
/** Distinct attributes that are counted; further ones are left out. */
export const ATTRIBUTES_MAX = 20000;
// Chi-squared with one degree of freedom is greater by chance once in a thousand.
const SCORE_MIN = 10.83;

/** `[{key, value, inChosen, inRest, score}]`: in how many traces of each an attribute is, those that differ most first. */
export function differences(chosen, rest) {
  const counts = new Map();
  const values = new Map();
  for (const [place, traces] of [chosen, rest].entries()) {
    for (const spans of traces) {
      for (const attribute of attributes(spans)) {
        let one = counts.get(attribute);
        if (!one) {
          if (counts.size >= ATTRIBUTES_MAX) continue;
          one = [0, 0];
          counts.set(attribute, one);
          const key = attribute.slice(0, attribute.indexOf("\n"));
          values.set(key, (values.get(key) ?? 0) + 1);
        }
        one[place] += 1;
      }
    }
  }
  const all = chosen.length + rest.length;
  const rows = [];
  for (const [attribute, [inChosen, inRest]] of counts) {
    const at = attribute.indexOf("\n");
    const key = attribute.slice(0, at);
    const isIdentity = values.get(key) > Math.max(VALUES_MIN, all * VALUES_SHARE_MAX);
    const score = surprise(inChosen, chosen.length, inRest, rest.length);
    if (!isIdentity && score >= SCORE_MIN) rows.push({ key, value: attribute.slice(at + 1), inChosen, inRest, score });
  }
  // What is more frequent here before what is rarer; both say something.
  const isMore = (row) => row.inChosen / chosen.length > row.inRest / rest.length;
  return rows.sort((a, b) => isMore(b) - isMore(a) || b.score - a.score || (a.key < b.key ? -1 : 1));
}

/** What a trace says somewhere, each once: `KEY\nVALUE`. */
function attributes(spans) {
  const found = new Set();
  for (const span of spans) {
    found.add(`service\n${span.localEndpoint?.serviceName ?? ""}`);
    found.add(`span\n${span.name ?? ""}`);
    for (const [key, value] of Object.entries(span.tags ?? {})) {
      if (!key.includes("\n")) found.add(`${key}\n${String(value).slice(0, VALUE_MAX)}`);
    }
  }
  return found;
}

/** The G statistic of a two by two table: 0 where the shares are the same, greater the less chance explains them. */
export function surprise(a, allA, b, allB) {
  const whole = allA + allB;
  const cells = [[a, allA, a + b], [b, allB, a + b], [allA - a, allA, whole - a - b], [allB - b, allB, whole - a - b]];
  return 2 * cells.reduce((sum, [seen, row, column]) => (seen > 0 ? sum + seen * Math.log(seen * whole / (row * column)) : sum), 0);
}
