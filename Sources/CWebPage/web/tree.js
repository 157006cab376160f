// The spans of a trace as a tree in the order of its rows. Pure.

/** Rows whose depth is greater are not indented further. */
export const DEPTH_MAX = 40;

/**
 * `{rows, roots, start, duration, services, errors}` of Zipkin's spans: children after their parent, by time; what hangs under nothing, or
 * under itself, is a root. A row: `{index, span, service, name, depth, parent, children, start, duration, end, isError, last}`; times are
 * microseconds from the trace's start, `start` of a row is null where the span has no time; `last` is the index of its last descendant.
 */
export function build(spans) {
  const timed = spans.filter((span) => span.timestamp > 0);
  const start = timed.length ? timed.reduce((least, span) => Math.min(least, span.timestamp), Infinity) : 0;
  const end = timed.reduce((most, span) => Math.max(most, span.timestamp + (span.duration ?? 0)), start);
  const nodes = spans.map((span) => ({
    span, service: span.localEndpoint?.serviceName ?? "", name: span.name ?? "", children: [], parent: null,
    start: span.timestamp > 0 ? span.timestamp - start : null, duration: span.duration ?? 0, isError: "error" in (span.tags ?? {}),
  }));
  // A shared server span has its client's id: it comes under the client's row, and children prefer it.
  const clients = new Map();
  const servers = new Map();
  for (const node of nodes) {
    const map = node.span.shared ? servers : clients;
    if (!map.has(node.span.id)) map.set(node.span.id, node);
  }
  const roots = [];
  for (const node of nodes) {
    const { span } = node;
    const above = span.shared ? clients.get(span.id) : servers.get(span.parentId) ?? clients.get(span.parentId);
    if (above && above !== node) {
      node.parent = above;
      above.children.push(node);
    } else {
      roots.push(node);
    }
  }
  const byTime = (a, b) => (a.start ?? Infinity) - (b.start ?? Infinity) || 0;
  const rows = [];
  const walk = (from) => {
    const stack = [[from, 0]];
    while (stack.length) {
      const [node, depth] = stack.pop();
      if (node.index !== undefined) continue;
      node.index = rows.length;
      node.depth = depth;
      node.end = (node.start ?? 0) + node.duration;
      rows.push(node);
      node.children.sort(byTime);
      for (let at = node.children.length - 1; at >= 0; at -= 1) stack.push([node.children[at], depth + 1]);
    }
  };
  roots.sort(byTime);
  roots.forEach(walk);
  // Spans that are their own ancestors hang under nothing; they are shown all the same.
  for (const node of nodes) {
    if (node.index !== undefined) continue;
    if (node.parent) node.parent.children = node.parent.children.filter((child) => child !== node);
    node.parent = null;
    roots.push(node);
    walk(node);
  }
  for (let at = rows.length - 1; at >= 0; at -= 1) {
    const row = rows[at];
    row.last = Math.max(row.last ?? at, at);
    if (row.parent) row.parent.last = Math.max(row.parent.last ?? 0, row.last);
  }
  const errors = rows.filter((row) => row.isError).length;
  return { rows, roots, start, duration: Math.max(1, end - start), services: order(rows), errors };
}

/** Services in the order in which they first appear: their number is their mark, and gives their colour. */
function order(rows) {
  const numbers = new Map();
  for (const row of rows) if (!numbers.has(row.service)) numbers.set(row.service, numbers.size);
  return numbers;
}

/** Rows to be shown while those in `collapsed` hide what is below them. */
export function visible(rows, collapsed) {
  const list = [];
  for (let at = 0; at < rows.length; at += 1) {
    list.push(rows[at]);
    if (collapsed.has(rows[at])) at = rows[at].last;
  }
  return list;
}

/**
 * The critical path: which span the trace waits for at each moment. From the end of a root backwards, always into the child that ended
 * last; what no child covers is the span's own. Segments `{row, from, to}` in microseconds, latest first.
 */
export function criticalPath(roots) {
  const root = roots.filter((row) => row.start !== null).sort((a, b) => b.end - a.end)[0];
  if (!root) return [];
  const segments = [];
  const stack = [{ row: root, cursor: root.end, rest: null }];
  while (stack.length) {
    const top = stack[stack.length - 1];
    top.rest ??= top.row.children.filter((child) => child.start !== null).sort((a, b) => a.end - b.end);
    const child = top.rest.pop();
    if (!child) {
      if (top.cursor > top.row.start) segments.push({ row: top.row, from: top.row.start, to: top.cursor });
      stack.pop();
      const above = stack[stack.length - 1];
      if (above) above.cursor = Math.max(above.row.start, Math.min(above.cursor, top.row.start));
      continue;
    }
    // What began after the moment looked at did not hold it up, nor did what ended before the span began.
    if (child.start >= top.cursor || child.end <= top.row.start) continue;
    const end = Math.min(child.end, top.cursor);
    if (end < top.cursor) segments.push({ row: top.row, from: end, to: top.cursor });
    top.cursor = end;
    stack.push({ row: child, cursor: end, rest: null });
  }
  return segments;
}

/** Whether a text is in what a span says. */
export function says(row, text) {
  const part = text.toLowerCase();
  const { span } = row;
  const has = (value) => String(value ?? "").toLowerCase().includes(part);
  return has(row.service) || has(row.name) || has(span.id) || has(span.kind) || has(span.remoteEndpoint?.serviceName)
    || Object.entries(span.tags ?? {}).some(([key, value]) => has(key) || has(value) || has(`${key}=${value}`))
    || (span.annotations ?? []).some((one) => has(one.value));
}
