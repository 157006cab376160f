// Where the services of a graph stand: in layers from callers to called, each edge to the right where there is no circle. Pure, and the
// same for the same graph, so that nothing jumps from look to look (Sugiyama's method: layers, order by barycentres, places).

const SWEEPS = 6;
/** Pixels from a layer to the next, and from a node to the next below it. */
export const LAYER = 256;
export const ROW = 58;
const BEND = 16;

/**
 * `{nodes: Map(id → {x, y}), edges: Map("from\nto" → [{x, y}…]), width, height}`, all of upper left corners; an edge goes
 * from its first node to its last through the places between them.
 */
export function layout(ids, edges) {
  const sorted = [...new Set(ids)].sort();
  const pairs = edges.filter(({ from, to }) => from !== to).map(({ from, to }) => [from, to]).sort(([a, b], [c, d]) =>
    (a === c ? compare(b, d) : compare(a, c)));
  const { forward, turned } = withoutCircles(sorted, pairs);
  const given = new Set(pairs.map(([from, to]) => `${from}\n${to}`));
  const layer = layers(sorted, forward);
  const { rows, links, chains } = withBends(sorted, forward, layer);
  order(rows, links);
  const places = place(rows, links);
  const paths = new Map();
  for (const [key, chain] of chains) {
    const points = chain.map((id) => places.get(id));
    const [from, to] = key.split("\n");
    // Two services that call each other share a way.
    if (given.has(key)) paths.set(key, points);
    if (turned.has(key)) paths.set(`${to}\n${from}`, [...points].reverse());
  }
  const all = [...places.values()];
  return {
    nodes: new Map(sorted.map((id) => [id, places.get(id)])), edges: paths,
    width: Math.max(0, ...all.map(({ x }) => x)), height: Math.max(0, ...all.map(({ y }) => y)),
  };
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** Edges that close a circle are turned round; which is found by walking from those that nobody calls. */
function withoutCircles(ids, pairs) {
  const out = new Map(ids.map((id) => [id, []]));
  const called = new Set(pairs.map(([, to]) => to));
  for (const [from, to] of pairs) out.get(from)?.push(to);
  const state = new Map();
  const turned = new Set();
  const forward = new Map();
  for (const start of [...ids.filter((id) => !called.has(id)), ...ids]) {
    if (state.has(start)) continue;
    const stack = [[start, 0]];
    state.set(start, "open");
    while (stack.length) {
      const top = stack[stack.length - 1];
      const next = out.get(top[0])[top[1]++];
      if (next === undefined) {
        state.set(top[0], "done");
        stack.pop();
      } else if (state.get(next) === "open") {
        forward.set(`${next}\n${top[0]}`, [next, top[0]]);
        turned.add(`${next}\n${top[0]}`);
      } else {
        forward.set(`${top[0]}\n${next}`, [top[0], next]);
        if (!state.has(next)) {
          state.set(next, "open");
          stack.push([next, 0]);
        }
      }
    }
  }
  return { forward: [...forward.values()], turned };
}

/** The longest way from whom nobody calls. */
function layers(ids, pairs) {
  const incoming = new Map(ids.map((id) => [id, 0]));
  const out = new Map(ids.map((id) => [id, []]));
  for (const [from, to] of pairs) {
    incoming.set(to, incoming.get(to) + 1);
    out.get(from).push(to);
  }
  const layer = new Map(ids.map((id) => [id, 0]));
  const open = ids.filter((id) => incoming.get(id) === 0);
  for (let at = 0; at < open.length; at += 1) {
    for (const to of out.get(open[at])) {
      layer.set(to, Math.max(layer.get(to), layer.get(open[at]) + 1));
      incoming.set(to, incoming.get(to) - 1);
      if (incoming.get(to) === 0) open.push(to);
    }
  }
  return layer;
}

/** An edge over several layers has a bend in each of them, so that it finds its way between the nodes. */
function withBends(ids, pairs, layer) {
  const rows = [];
  const add = (id, at) => (rows[at] ??= []).push(id);
  for (const id of ids) add(id, layer.get(id));
  const links = [];
  const chains = new Map();
  for (const [from, to] of pairs) {
    const chain = [from];
    for (let at = layer.get(from) + 1; at < layer.get(to); at += 1) {
      const bend = `${from}\n${to}\n${at}`;
      add(bend, at);
      chain.push(bend);
    }
    chain.push(to);
    for (let at = 1; at < chain.length; at += 1) links.push([chain[at - 1], chain[at]]);
    chains.set(`${from}\n${to}`, chain);
  }
  return { rows: rows.map((row) => row ?? []), links, chains };
}

function neighbours(links) {
  const before = new Map();
  const after = new Map();
  for (const [from, to] of links) {
    if (!after.has(from)) after.set(from, []);
    if (!before.has(to)) before.set(to, []);
    after.get(from).push(to);
    before.get(to).push(from);
  }
  return { before, after };
}

/** Sorts each layer by the mean place of its neighbours, to the right and back, some times. */
function order(rows, links) {
  const { before, after } = neighbours(links);
  const place = new Map();
  const note = (row) => row.forEach((id, index) => place.set(id, index));
  rows.forEach(note);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const isForward = sweep % 2 === 0;
    for (const row of isForward ? rows : [...rows].reverse()) {
      const weight = new Map(row.map((id) => {
        const near = (isForward ? before : after).get(id) ?? [];
        return [id, near.length ? near.reduce((sum, one) => sum + place.get(one), 0) / near.length : place.get(id)];
      }));
      row.sort((a, b) => weight.get(a) - weight.get(b) || compare(a, b));
      note(row);
    }
  }
}

/** Each node as near to the middle of its neighbours as the order and the distances of its layer allow. */
function place(rows, links) {
  const { before, after } = neighbours(links);
  const y = new Map();
  for (const row of rows) {
    const offsets = distances(row);
    const half = (offsets[offsets.length - 1] ?? 0) / 2;
    row.forEach((id, index) => y.set(id, offsets[index] - half));
  }
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const wanted = row.map((id) => {
        const near = [...(before.get(id) ?? []), ...(after.get(id) ?? [])];
        return near.length ? near.reduce((sum, one) => sum + y.get(one), 0) / near.length : y.get(id);
      });
      spread(wanted, distances(row)).forEach((at, index) => y.set(row[index], at));
    }
  }
  const top = y.size ? Math.min(...y.values()) : 0;
  const places = new Map();
  rows.forEach((row, index) => row.forEach((id) => places.set(id, { x: index * LAYER, y: y.get(id) - top })));
  return places;
}

/** How far below the first of a layer each must be at least; a bend needs less room than a node. */
function distances(row) {
  const size = (id) => (id.includes("\n") ? BEND : ROW);
  let at = 0;
  return row.map((id, index) => {
    if (index > 0) at += (size(row[index - 1]) + size(id)) / 2;
    return at;
  });
}

/** The places nearest to the wanted ones, by least squares, that keep their order and distances (pool adjacent violators). */
function spread(wanted, offsets) {
  const pools = [];
  wanted.forEach((at, index) => {
    let pool = { sum: at - offsets[index], count: 1 };
    while (pools.length && pools[pools.length - 1].sum / pools[pools.length - 1].count > pool.sum / pool.count) {
      const above = pools.pop();
      pool = { sum: above.sum + pool.sum, count: above.count + pool.count };
    }
    pools.push(pool);
  });
  const fitted = pools.flatMap(({ sum, count }) => Array(count).fill(sum / count));
  return fitted.map((at, index) => at + offsets[index]);
}
