// Health of a service by Kiali's default thresholds (kiali.io, "Traffic Health"), and which of its rules said so. Pure.

/** Per cent of the requests of a protocol from which a service is degraded and failing; `degraded: 0` is any at all. */
const RULES = [
  { protocol: "http", code: /^5\d\d$/, says: "5xx", degraded: 0, failure: 10 },
  { protocol: "http", code: /^4\d\d$/, says: "4xx", degraded: 10, failure: 20 },
  { protocol: "grpc", code: /^grpc ([1-9]|1[0-6])$/, says: "gRPC status that is not OK", degraded: 0, failure: 10 },
];
// Kiali takes less than this for nothing.
const PERCENT_MIN = 0.1;

/** `{level: 0 healthy, 1 degraded, 2 failing, -1 unknown, word, rule}` of rates by code. */
export function health(codes) {
  const whole = [...codes.values()].reduce((sum, rate) => sum + rate, 0);
  if (!(whole > 0)) return { level: -1, word: "no requests", rule: "nothing was asked of it" };
  let worst = { level: 0, word: "healthy", rule: "no threshold is reached" };
  for (const rule of RULES) {
    const isGRPC = rule.protocol === "grpc";
    const mine = [...codes].filter(([code]) => code.startsWith("grpc") === isGRPC);
    const all = mine.reduce((sum, [, rate]) => sum + rate, 0);
    const bad = mine.filter(([code]) => rule.code.test(code)).reduce((sum, [, rate]) => sum + rate, 0);
    const percent = all > 0 ? bad / all * 100 : 0;
    const level = percent >= rule.failure ? 2 : percent >= Math.max(rule.degraded, PERCENT_MIN) ? 1 : 0;
    if (level > worst.level) {
      const least = level === 2 ? rule.failure : Math.max(rule.degraded, PERCENT_MIN);
      worst = { level, word: level === 2 ? "failing" : "degraded", rule: `${percent.toFixed(1)} % ${rule.says}, from ${least} % on` };
    }
  }
  return worst;
}

/** What stands before a level, so that colour is not all that tells. */
export const SIGNS = { "-1": "○", 0: "●", 1: "▲", 2: "■" };
export const KINDS = { "-1": "", 0: "good", 1: "warn", 2: "bad" };
